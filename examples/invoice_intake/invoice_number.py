"""The invoice's number, told from those of orders, customers, taxes and pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .date_formats import dates_of
from .document import Cell, Document, Line
from .facts import Fact

_NUMBER_WORD = (
    r"(?:n\.?°|n[or]s?\b\.?|nr\b\.?|num(?:ber|ero|mer)?\b\.?|nummer|nbr|id\b|#|no\b\.?|n\.|code"
    r"|ref(?:erence)?\b\.?|cislo|numer|szama?)"
)
_INVOICE = (
    r"(?:(?:tax |vat |retail |sales |commercial )?invoices?|bills?|rechnungs?|beleg|facture|factura"
    r"|fattura|factuur|fatura|faktura"
    r"|fakturan?|faktur|lasku|laskun|szamla|receipt|quittung|kassenbon|recibo|document|credit note"
    r"|gutschrift|avoir|nota de credito|nota di credito"
    r"|creditnota|documento|fatura-recibo|fatura/recibo|nota fiscal|facture/avoir)"
)
_COMPOUND = r"(?:rechnungs|beleg|factuur|faktura|fakturen|lasku|szamla|gutschrifts?)"
_NUMBER_OF = r"(?:numero|n[°or.]+|nr\.?|num\.?|number|nummer|numer) ?(?:de |of |di |da |del |della |of the )?"
_LABELS: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(rf"(?<![a-z]){_INVOICE}(?: ?s)?[ -]{{0,2}}(?:de (?:la )?)?{_NUMBER_WORD}"), 4.0),
    (re.compile(rf"(?<![a-z]){_COMPOUND}-?(?:nummer|nr\b\.?|numer\w*|nro|szam)"), 4.0),
    (re.compile(rf"(?<![a-z]){_NUMBER_OF}(?:la |l')?{_INVOICE}"), 4.0),
    (re.compile(rf"(?<![a-z]){_INVOICE}[ \t]*(?:[:#-]|n°)"), 2.6),
    (re.compile(rf"(?<![a-z]){_INVOICE}(?=[ \t]+(?:[a-z]{{1,4}} )?[a-z]{{0,8}}[-/#]?\d)"), 2.2),
    (re.compile(r"^(?:number|nummer|numero|nr\.?|no\.?|n°|doc(?:ument)? no\.?)[ :]*$"), 1.2),
)  # fmt: skip
_VALUE = re.compile(
    r"(?:[Nn]°|[Nn]o\.|#|[Nn]r\.?(?= ))?[: .]*"
    r"(\d{1,3}(?: \d{3})+(?!\d)|(?:[A-Z]{1,6}[ ]?[-/]?[ ]?)?[A-Za-z0-9][A-Za-z0-9/_.\\-]*)"
)
_NOT_A_NUMBER = re.compile(
    r"date|datum|period|due|amount|total|page|order|kunde|customer|account|address|to\b|from|for|vom|du\b"
    r"|fecha|data|type|currency"
)
_OTHER_LABEL = re.compile(
    r"(?:order|customer|client|account|kunden|bestell|auftrags|commande|pedido|ordine|klant|bestel|po|vat"
    r"|tax|phone)"
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    value: str
    line: int
    weight: float
    label: str
    leads: bool


def find_number(document: Document) -> Fact[str]:
    """Read the invoice's number: the value behind or under the clearest label."""
    found = sorted(_candidates(document), key=lambda one: (-one.weight, one.line))
    if not found:
        return Fact[str](why="no label of an invoice number was found")
    best = found[0]
    line = document.lines[best.line]
    others = tuple(dict.fromkeys(one.value for one in found if one.value != best.value))
    rivals = [one for one in found if one.value != best.value and one.weight >= best.weight]
    return Fact[str](
        value=best.value,
        confidence=round(min(0.95, 0.3 + 0.16 * best.weight) * (0.7 if rivals else 1.0), 2),
        page=line.page,
        printed=line.text.replace("\t", "  "),
        considered=others[:5],
        why=f'printed beside "{best.label}"',
    )


def explicit_numbers(document: Document) -> list[str]:
    """Every value under a label of an invoice number, and behind the word for an invoice as a heading."""
    return [
        one.value
        for one in _candidates(document)
        if one.weight >= 3 or (one.leads and one.weight > 2 and len(one.value) > 3)
    ]


def _candidates(document: Document) -> Iterator[_Candidate]:
    for index, line in enumerate(document.lines):
        for cell in line.cells:
            folded = line.folded[cell.start : cell.end]
            for pattern, weight in _LABELS:
                label = pattern.search(folded)
                if label is None or _OTHER_LABEL.search(folded[max(0, label.start() - 9) : label.start()]):
                    continue
                value = _beside(line, cell, label.end()) or _under(document, index, line, cell, label)
                if value is not None:
                    early = 0.0 if cell.x0 > 0 and len(folded) < 60 else -1.0
                    leads = label.start() == 0 and len(folded) < 40
                    yield _Candidate(value, index, weight + early, label[0].strip(), leads)
                    break


def _beside(line: Line, cell: Cell, end: int) -> str | None:
    """The value right of the label, in its cell or in the next."""
    start = cell.start + end
    rest = line.text[start:].lstrip(" \t:#.-°")
    offset = len(line.text) - len(rest)
    if not rest or line.text[start:offset].count("\t") > 1:
        return None
    return _value(line, offset, min([o.end for o in line.cells if o.end > offset]))


def _under(document: Document, index: int, line: Line, cell: Cell, label: re.Match[str]) -> str | None:
    """The value under the label, if nothing of the kind stands beside it."""
    x0, x1 = line.extent(cell.start + label.start(), cell.start + label.end())
    height = max(line.bottom - line.top, 4.0)
    for below in document.below(index):
        if below.top - line.bottom > 2.2 * height:
            return None
        for other in below.cells:
            if min(other.x1, x1 + 8) - max(other.x0, x0 - 8) > 0 and other.text.strip():
                return _value(below, other.start, other.end)
    return None


def _value(line: Line, start: int, end: int) -> str | None:
    text = line.text[start:end]
    for found in dates_of(line, 0):
        # A date is not a number, but a number may look like one ("2020-04-001").
        if found.start <= start < found.end:
            return None
    match = _VALUE.match(text)
    if match is None:
        return None
    value = match[1].strip(" .-/")
    if not re.search(r"\d", value):
        first = text.split(" ")[0]
        return None if _NOT_A_NUMBER.search(first.lower()) or not re.search(r"\d", first) else first
    if " " in value and not re.fullmatch(r"[\d ]+|[A-Z]{1,6}[ ]?[-/]?[ ]?[A-Z0-9/_.\\-]*", value):
        value = value.split(" ")[-1]
    if re.fullmatch(r"\d{1,2}|\d+[.,]\d{2}|(?:19|20)\d\d", value) and not re.fullmatch(r"\d{1,2}", value):
        return None
    return value if _complete(value) else None


def _complete(value: str) -> bool:
    return 1 <= len(value) <= 40 and not _NOT_A_NUMBER.match(value.lower())

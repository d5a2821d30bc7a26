"""The positions of an invoice: rows of a table under its column heads, or aligned rows that add up."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from .document import Cell, Document, Line, Reading
from .facts import LineFacts, LineItem
from .labels import amounts_in
from .printed import Printed, numbers_of, printed_numbers
from .roles import Role, role_of

Kind = Literal["text", "quantity", "price", "total", "tax", "number"]

_HEADS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    (
        "tax",
        re.compile(
            r"\b(?:vat|tax|gst|[cis]gst|mwst|ust|tva|iva|btw|moms|mva|dph|alv|%|rabatt|discount"
            r"|remise|korting)\b|%"
        ),
    ),
    (
        "quantity",
        re.compile(
            r"\b(?:qty|quantity|quant|hours|hrs|units?|nights?|menge|anzahl|stk|stuck|std|qte"
            r"|quantite|nombre|cantidad|cant|uds?|quantita|q\.ta|qta|aantal|stuks|quantidade|qtd"
            r"|antal|ilosc|mnozstvi|maara|mennyiseg|cant|no of units)\b"
        ),
    ),
    (
        "price",
        re.compile(
            r"\b(?:unit price|price|rate|unit cost|cost|each|einzelpreis|e-?preis|vk-preis"
            r"|stuckpreis|preis|ep|prix unitaire|prix|p\.?u\.?|precio|p\. unit|prezzo|prijs"
            r"|stuksprijs|preco|a-?pris|pris|cena|hinta|egysegar|pret|tarif|unitario)\b"
        ),
    ),
    (
        "total",
        re.compile(
            r"\b(?:total|amount|line total|sum|gesamt|gesamtpreis|betrag|summe|zeilenbetrag|gp"
            r"|montant|importe|importo|totale|totaal|bedrag|valor|belopp|belob|belop|wartosc|celkem"
            r"|yhteensa|osszesen|valoare|value|subtotal|price|preis|prix|netto|net|ht|charges?)\b"
        ),
    ),
    (
        "text",
        re.compile(
            r"\b(?:description|item|items|article|product|service|services|particulars|details"
            r"|title|activity|beschreibung|bezeichnung|artikel|leistung|position|text|designation"
            r"|libelle|descripcion|concepto|articulo|descrizione|articolo|omschrijving|product"
            r"|descricao|designacao|beskrivning|beskrivelse|benamning|nazwa|popis|kuvaus|tuote"
            r"|megnevezes|denumire)\b"
        ),
    ),
)
_STOP: frozenset[Role] = frozenset({"gross", "due", "net", "total", "carried", "paid"})


@dataclass(frozen=True, slots=True)
class _Head:
    """A row of column heads: where it stands and what its columns hold."""

    line: int
    columns: tuple[tuple[Kind, float, float], ...]

    @property
    def right(self) -> tuple[float, float] | None:
        """The edges of the column with the totals: the rightmost that is called a total, else a price."""
        for kind in ("total", "price"):
            found = [(x0, x1) for column, x0, x1 in self.columns if column == kind]
            if found:
                return found[-1]
        return None


def find_lines(reading: Reading) -> LineFacts:
    """Read the positions; without a table that can be read, none, and the reason."""
    if reading.kind == "unreadable":
        return LineFacts()
    items: list[LineItem] = []
    heads = [head for index in range(len(reading.lines)) if (head := _head(reading, index))]
    for number, head in enumerate(heads):
        end = heads[number + 1].line if number + 1 < len(heads) else len(reading.lines)
        items.extend(_rows(reading, head, end))
        if _ended(reading, head, end) and items:
            break
    if items:
        return LineFacts(items=tuple(items), why="rows under the column heads")
    return _aligned(reading)


def _head(document: Document, index: int) -> _Head | None:
    """A line is a head if its cells name at least two columns, one of them an amount, and hold no amounts."""
    line = document.lines[index]
    if re.search(r"\d[.,]\d\d\b", line.text) or len(line.cells) < 2:
        return None
    columns: list[tuple[Kind, float, float]] = []
    following = document.lines[index + 1] if index + 1 < len(document.lines) else None
    for cell in line.cells:
        kind = _kind(line.folded[cell.start : cell.end], _under(cell, following))
        if kind is not None:
            columns.append((kind, cell.x0, cell.x1))
    kinds = [kind for kind, _, _ in columns]
    if (
        not {"total", "price"} & set(kinds)
        or len(columns) < 2
        or not {"text", "quantity", "price"} & set(kinds)
    ):
        return None
    if "total" not in kinds and kinds[-1] == "price" and "quantity" in kinds and "text" not in kinds:
        return None
    return _Head(index, tuple(columns))


def _under(cell: Cell, following: Line | None) -> str:
    if following is None or re.search(r"\d[.,]\d\d", following.text):
        return ""
    for other in following.cells:
        if min(other.x1, cell.x1) - max(other.x0, cell.x0) > 0:
            return following.folded[other.start : other.end]
    return ""


def _kind(head: str, under: str) -> Kind | None:
    """What a column holds; a second line of its head counts only where the first says nothing."""
    for text in (head.strip(), under.strip()):
        if not text or len(text) > 40:
            continue
        total = re.search(r"total|gesamt|zeilenbetrag|totaal|amount|montant|importo|betrag|bedrag", text)
        for kind, pattern in _HEADS:
            if pattern.search(text):
                # "Amount incl. VAT" is an amount, "VAT amount" is a tax.
                if (
                    kind == "tax"
                    and total
                    and re.search(r"incl|inkl|excl|exkl|ohne|ttc|ht\b|with|sans|before", text)
                ):
                    return "total"
                if kind == "price" and total and not re.search(r"unit|einzel", text):
                    return "total"
                return kind
    return None


def _rows(document: Document, head: _Head, end: int) -> Iterator[LineItem]:
    right = head.right
    if right is None:
        return
    found: list[tuple[Line, list[Printed], Printed]] = []
    for index in range(head.line + 1, end):
        line = document.lines[index]
        numbers = list(numbers_of(line, index, document.clues))
        amounts = amounts_in(numbers)
        closing = _sum_role(line, amounts)
        if closing == "carried":
            continue
        if closing is not None or _is_strip(line):
            break
        total = next((one for one in reversed(amounts) if _in_column(one, right)), None)
        worded = (
            re.search(r"[a-z]{2}", re.sub(r"\b(?:eur|usd|chf|gbp|inr|rs|kr)\b", "", line.folded)) is not None
        )
        if total is not None and worded and total.other is None and (total.monetary or total.decimals == 0):
            found.append((line, numbers, total))
    for line, numbers, total in found:
        yield _item(document, head, line, numbers, total)


def _sum_role(line: Line, amounts: Sequence[Printed]) -> Role | None:
    """The role of a row that closes the table, by the words before its first amount or at its beginning."""
    if not amounts:
        return None
    words = line.folded[: amounts[0].start].strip("\t ").rsplit("\t", 1)[-1]
    for phrase in (words, line.folded.split("\t")[0]):
        phrase = re.sub(r"\s+", " ", re.sub(r"[\d.,%:*()]+", " ", phrase)).strip()
        role = role_of(phrase) if len(phrase) < 40 else None
        if role is not None and role[0] in _STOP and (role[1] > 1 or role[0] == "carried"):
            return role[0]
    return None


def _is_strip(line: Line) -> bool:
    """Whether a line is the head of a strip of totals ("Total HT | TVA | Total TTC")."""
    roles = [role_of(line.folded[cell.start : cell.end].strip()) for cell in line.cells]
    return len([role for role in roles if role and role[0] in ("gross", "due", "net", "tax")]) >= 2


def _ended(document: Document, head: _Head, end: int) -> bool:
    """Whether a total closed the table before the next head."""
    lines = range(head.line + 1, end)
    sums = (
        _sum_role(document.lines[i], amounts_in(list(numbers_of(document.lines[i], i, document.clues))))
        for i in lines
    )
    return any(role is not None and role != "carried" for role in sums)


def _in_column(number: Printed, column: tuple[float, float]) -> bool:
    overlap = min(number.x1, column[1] + 6) - max(number.x0, column[0] - 6)
    return overlap > 0 or abs(number.x1 - column[1]) < 14


def _item(
    document: Document, head: _Head, line: Line, numbers: Sequence[Printed], total: Printed
) -> LineItem:
    others = [one for one in numbers if one is not total and not one.percent and one.end <= total.start]
    quantity, price = _quantity_and_price(head, others, total)
    words = [cell.text.strip() for cell in line.cells if re.search(r"[^\W\d]{2}", cell.text)]
    return LineItem(
        description=words[0][:120] if words else "",
        quantity=quantity,
        unit_price=price,
        total=total.value,
        page=line.page,
    )


def _quantity_and_price(
    head: _Head, others: Sequence[Printed], total: Printed
) -> tuple[Decimal | None, Decimal | None]:
    """The pair that multiplies to the total; else what stands under the heads for quantity and price."""
    for quantity in others:
        for price in others:
            exact = abs(quantity.value * price.value - total.value) <= Decimal("0.005")
            if exact and quantity is not price and (price.monetary or price.decimals >= 2):
                return quantity.value, price.value
    named: dict[Kind, Decimal] = {}
    for kind, x0, x1 in head.columns:
        for one in others:
            if kind in ("quantity", "price") and _in_column(one, (x0, x1)):
                named.setdefault(kind, one.value)
    return named.get("quantity"), named.get("price")


def _aligned(document: Document) -> LineFacts:
    """Rows with the same indentation and the same right edge whose amounts add up to one printed elsewhere.

    For invoices without column heads. All rows of one such group must be taken, at least two of them not
    zero, and their sum must be printed in another row: that is what makes them positions.
    """
    numbers = [one for one in printed_numbers(document) if one.monetary and one.other is None]
    printed = Counter(one.value for one in numbers)
    best: list[Printed] = []
    for group in _groups(document, numbers):
        run = _adding_up(document, group, printed)
        if len(run) > len(best):
            best = run
    items = tuple(
        LineItem(
            description=document.lines[one.line].cells[0].text.strip()[:120],
            total=one.value,
            page=document.lines[one.line].page,
        )
        for one in best
    )
    return (
        LineFacts(items=items, why="aligned rows that add up to a printed amount") if items else LineFacts()
    )


def _groups(document: Document, numbers: Sequence[Printed]) -> Iterator[list[Printed]]:
    """The last amounts of the rows that begin and end at the same places."""
    groups: dict[tuple[int, int], list[Printed]] = {}
    for one in {other.line: other for other in numbers}.values():
        line = document.lines[one.line]
        if len(line.cells) <= 3 and re.search(r"[a-z]{2}", line.folded[: one.start]):
            groups.setdefault((round(line.words[0].x0 / 3), round(one.x1 / 3)), []).append(one)
    yield from groups.values()


def _adding_up(document: Document, group: Sequence[Printed], printed: Counter[Decimal]) -> list[Printed]:
    """The longest end of a group whose sum is printed outside of it and that holds no sum itself.

    It grows upward from the last row with its sum and its values counted along, so that a long document
    takes one pass.

    Args:
        document: Where the group stands.
        group: Amounts in reading order.
        printed: How often each value is printed in the whole document.
    """
    total, filled, length = Decimal(0), 0, 0
    inside: Counter[Decimal] = Counter()
    for taken, one in enumerate(reversed(group), start=1):
        if _sum_role(document.lines[one.line], [one]) is not None:
            break
        total += one.value
        filled += one.value != 0
        inside[one.value] += 1
        if filled >= 2 and printed[total] > inside[total]:
            length = taken
    return list(group[len(group) - length :])

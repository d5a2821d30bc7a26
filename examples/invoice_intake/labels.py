"""Amounts and the labels that name them, whatever the arrangement.

A label may stand before its amount on the line, at the head of its column, over it or, rarely, behind it;
in a table the row says *total* and the column says *tax*. This module finds, for every amount, the words
that name it and the role they give (`roles.role_of`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, NamedTuple

from .document import Cell, Document, Line
from .printed import Printed, printed_numbers
from .roles import Role, column_role_of, introduces_base, role_of


class Column(NamedTuple):
    """The head of a column and the role that it gives."""

    head: str
    role: Role
    strength: int
    manner: Manner


Manner = Literal["row", "table", "over", "column", "behind", "under"]

_SUFFIX = re.compile(
    r"^\W{0,3}((?:t\.?t\.?c|h\.?t|brutto|netto|inkl|incl|excl|exkl|zzgl|plus|including"
    r"|excluding)\b[^\d\t]{0,25})"
)
_COLUMN_HEADS = re.compile(
    r"\b(?:qty|quantity|units?|hours?|description|item|article|product|price|rate|particulars|hsn|sku"
    r"|menge|anzahl|einheit"
    r"|beschreibung|bezeichnung|artikel|preis|einzelpreis|pos|leistung|quantite|qte|designation|libelle"
    r"|prix|reference|cantidad"
    r"|descripcion|concepto|articulo|precio|quantita|descrizione|prezzo|articolo|aantal|omschrijving|prijs"
    r"|stuks|quantidade"
    r"|descricao|preco|antal|beskrivning|beskrivelse|a-pris|pris|ilosc|nazwa|cena|mnozstvi|popis|maara"
    r"|kuvaus|hinta)\b"
)


@dataclass(frozen=True, slots=True)
class Labelled:
    """An amount and the part it plays.

    Attributes:
        amount: the printed number.
        role: what its label says it is.
        strength: 3 explicit, 2 clear, 1 loose.
        label: the words that say so.
        manner: where these words stand: before it, row and column of a table, over it, at the head of an
            items column, behind it, under it.
        rate: the tax rate printed on the same row, in percent.
    """

    amount: Printed
    role: Role
    strength: int
    label: str
    manner: Manner
    rate: Decimal | None = None

    @property
    def value(self) -> Decimal:
        """The amount's value."""
        return self.amount.value


def labelled_amounts(document: Document) -> list[Labelled]:
    """Every amount of the document that some label names, in reading order."""
    numbers = printed_numbers(document)
    # Whole numbers are amounts only where no decimals are printed; elsewhere they are counts and codes.
    bare = sum(number.monetary for number in numbers) < 2
    rows: dict[int, list[Printed]] = {}
    for number in numbers:
        if bare or number.monetary or number.percent or number.decimals == 3:
            rows.setdefault(number.line, []).append(number)
    found: list[Labelled] = []
    for index in rows:
        found.extend(_label_row(document, index, rows))
    return found


def amounts_in(row: Iterable[Printed]) -> list[Printed]:
    """The numbers of a row that can be amounts: money by themselves, or bare numbers if there is no other."""
    row = [number for number in row if not number.percent]
    monetary = [number for number in row if number.monetary]
    return monetary or [number for number in row if number.decimals in (0, 3)]


def _label_row(document: Document, index: int, rows: dict[int, list[Printed]]) -> list[Labelled]:
    line = document.lines[index]
    numbers = rows[index]
    amounts = amounts_in(numbers)
    rate = next((number.value for number in numbers if number.percent), None)
    found: list[Labelled] = []
    row: tuple[Role, int] | None = None
    label = ""
    for position, amount in enumerate(amounts):
        begin = amounts[position - 1].end if position else 0
        before, own = _row_role(line, begin, amount)
        if own is not None:
            row, label = own, before
        column = _column(document, index, amount) if amount.monetary or own is not None else None
        following = amounts[position + 1 :]
        found.extend(_combine(line, amount, row, label, column, rate, following, own is not None))
    if not found and len(amounts) == 1:
        found.extend(_behind(line, amounts[0], rate))
    if not found:
        found.extend(one for amount in amounts if (one := _beneath(document, index, amount, rate)))
    return found


def _row_role(line: Line, begin: int, amount: Printed) -> tuple[str, tuple[Role, int] | None]:
    """The role that the words before the amount give: the nearest cell first, then all of them."""
    before = line.folded[begin : amount.start]
    suffix = _SUFFIX.match(line.folded[amount.end : amount.end + 40])
    tail = f" {suffix[1].strip()}" if suffix else ""
    cells = [cell for cell in before.split("\t") if re.search(r"[a-z]", cell)]
    for phrase in (*reversed(cells[-2:]), " ".join(cells)):
        words = re.sub(r"\d[\d.,/]*\s*%?|[(){}\[\]|*:]", " ", phrase)
        role = role_of(re.sub(r"\s+", " ", f"{words}{tail}").strip())
        if role is not None:
            return f"{phrase.strip()}{tail}", role
    if tail and (role := role_of(tail.strip())) is not None:
        return tail.strip(), role
    return "", None


def _column(document: Document, index: int, amount: Printed) -> Column | None:
    """The role that the head of the amount's column gives, looking upward past numbers and descriptions."""
    here = document.lines[index]
    height = max(here.bottom - here.top, 4.0)
    # Right under a head an amount is named by it; an amount of a row with words of its own is one of many.
    before = _without_currency(here.folded[: amount.start])
    passed = re.search(r"[a-z]{3}|\d ?%", before) is not None
    edge = here.top
    head: list[tuple[Line, str]] = []
    for line in document.above(index):
        if head and (head[0][0].top - line.bottom > 0.6 * height or len(head) == 3):
            if (found := _named_by(head, passed)) is not None or _is_table_head(head):
                return found
            head, passed, edge = [], True, head[0][0].top
        if edge - line.bottom > (14 * height if passed else 3.2 * height):
            return None
        cell = _overlapping(line, amount)
        if cell is None:
            continue
        folded = line.folded[cell.start : cell.end].strip()
        named = re.search(r"[a-z]{2}", _without_currency(folded)) is not None and len(folded) <= 34
        if named and re.search(r"\d[.,]\d\d", folded) is None:
            head.insert(0, (line, folded))
            continue
        if (found := _named_by(head, passed)) is not None or _is_table_head(head):
            return found
        head, passed, edge = [], True, line.top
    return _named_by(head, passed)


def _named_by(head: list[tuple[Line, str]], passed: bool) -> Column | None:
    """The role of a column head, from its lowest line up: as much of it as gives a role."""
    many = passed or _is_table_head(head)
    for start in range(len(head)):
        phrase = " ".join(text for _, text in head[start:])
        role = column_role_of(re.sub(r"[\d%(){}|*:]", " ", phrase).strip())
        if role is not None:
            return Column(phrase, role[0], role[1], "column" if many else "over")
    return None


def _is_table_head(head: list[tuple[Line, str]]) -> bool:
    return any(_COLUMN_HEADS.search(line.folded) for line, _ in head)


def _without_currency(folded: str) -> str:
    return re.sub(r"\b(?:eur|usd|chf|gbp|inr|rs)\b", "", folded)


def _overlapping(line: Line, amount: Printed) -> Cell | None:
    best: tuple[float, Cell] | None = None
    for cell in line.cells:
        shared = min(cell.x1, amount.x1) - max(cell.x0, amount.x0)
        if shared > 0 and cell.text.strip() and (best is None or shared > best[0]):
            best = (shared, cell)
    return best[1] if best else None


_IN_TABLE: frozenset[Role] = frozenset({"net", "tax", "gross", "total"})


def _combine(
    line: Line,
    amount: Printed,
    row: tuple[Role, int] | None,
    label: str,
    column: Column | None,
    rate: Decimal | None,
    following: list[Printed],
    own: bool,
) -> list[Labelled]:
    """Row and column together: a total row takes its part from the column, any other row from itself."""
    several = bool(following) or not own
    if row is None:
        if column is None or not amount.monetary:
            return []
        head, role, strength, manner = column
        return [Labelled(amount, role, strength if manner == "over" else 1, head, manner, rate)]
    role, strength = row
    if role == "tax" and several and column is not None and column.role in ("net", "tax", "gross"):
        part: Role = "base" if column.role == "net" else column.role
        return [
            Labelled(
                amount, part, 2 if part in ("tax", "base") else 1, f"{label} / {column.head}", "table", rate
            )
        ]
    if (
        role == "tax"
        and own
        and (introduces_base(line.folded[: amount.start].rstrip(" \t:")) or _is_base(amount, following))
    ):
        return [Labelled(amount, "base", 2, label, "row", rate)]
    if (
        column is not None
        and several
        and column.role in _IN_TABLE
        and role in ("total", "gross", "due", "net")
    ):
        return [Labelled(amount, column.role, 3, f"{label} / {column.head}", "table", rate)]
    if several and following:
        # Of several amounts behind one label the last is meant, unless the columns say otherwise.
        return (
            [Labelled(amount, role, 1, label, "row", rate)]
            if role != "tax"
            else [Labelled(amount, "base", 1, label, "row", rate)]
        )
    return [Labelled(amount, role, strength, label, "row", rate)]


def _is_base(amount: Printed, following: list[Printed]) -> bool:
    return bool(following) and abs(following[-1].value) < abs(amount.value)


def _behind(line: Line, amount: Printed, rate: Decimal | None) -> list[Labelled]:
    """A label to the right of its amount counts when nothing stands before the amount on the line."""
    if re.search(r"[a-z]", line.folded[: amount.start].rsplit("\t", 1)[-1]) or not amount.monetary:
        return []
    after = line.folded[amount.end :].strip("\t ").split("\t")[0]
    role = role_of(re.sub(r"[\d%(){}|*:]", " ", after).strip())
    return [Labelled(amount, role[0], min(role[1], 2), after, "behind", rate)] if role else []


def _beneath(document: Document, index: int, amount: Printed, rate: Decimal | None) -> Labelled | None:
    """A label under its amount, in a line that holds no amounts, counts when the amount has no other."""
    here = document.lines[index]
    following = next(document.below(index), None)
    near = following is not None and following.top - here.bottom < here.bottom - here.top
    if following is None or not near or not amount.monetary or re.search(r"\d[.,]\d\d", following.text):
        return None
    cell = _overlapping(following, amount)
    phrase = following.folded[cell.start : cell.end] if cell else ""
    role = column_role_of(re.sub(r"[\d%(){}|*:€$£]", " ", phrase).strip())
    return Labelled(amount, role[0], min(role[1], 2), phrase.strip(), "under", rate) if role else None

"""Net, tax, gross and currency of an invoice.

The labels propose (`labels.labelled_amounts`), arithmetic disposes: among all labelled amounts the set is
chosen that adds up and whose labels say so most clearly. Nothing is invented: where no set adds up, the
gross amount is the one with the clearest label, and the proof will say what is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations

from .currency import national, resolve
from .document import Document, Reading
from .facts import AmountFacts, Fact, TaxLine
from .labels import Labelled, Manner, labelled_amounts
from .roles import Role

CENT = Decimal("0.01")
ZERO = Decimal(0)
_WHERE: dict[Manner, str] = {
    "row": "beside",
    "table": "at the crossing of",
    "over": "under",
    "column": "in the column",
    "behind": "before",
    "under": "over",
}


@dataclass(frozen=True, slots=True)
class Sum:
    """Labelled amounts that add up: net + taxes + adjustments = gross.

    Attributes:
        net, taxes, adjustments, gross: the printed amounts.
        score: how clearly their labels say so.
    """

    net: Labelled
    taxes: tuple[Labelled, ...]
    adjustments: tuple[Labelled, ...]
    gross: Labelled
    score: float

    @property
    def tax(self) -> Decimal:
        """All taxes together."""
        return sum((tax.value for tax in self.taxes), ZERO)


def find_amounts(reading: Reading) -> AmountFacts:
    """Read what the invoice costs; each amount with its label, or without a value where none was clear."""
    if reading.kind == "unreadable":
        return AmountFacts()
    labelled = labelled_amounts(reading)
    best = best_sum(labelled)
    gross = best.gross if best else clearest_gross(labelled)
    net = best.net if best else None
    taxes: Sequence[Labelled] = best.taxes if best else ()
    if best is None and gross is not None and not _unsure(gross):
        net, taxes = _loose_parts(labelled, gross)
    tax = sum((one.value for one in taxes), ZERO) if taxes else None
    net_fact = _fact(reading, net, labelled, ("net", "total"))
    if net is None and gross is not None and tax is not None and _included(taxes, tax, gross.value):
        net_fact = Fact[Decimal](
            value=gross.value - tax, confidence=0.5, why="gross less tax; it is not printed itself"
        )
    return AmountFacts(
        currency=_currency(reading, gross, labelled),
        net=net_fact,
        tax=_tax_fact(reading, taxes, tax, labelled),
        gross=_fact(reading, gross, labelled, ("gross", "due", "total")),
        taxes=tuple(TaxLine(rate=one.rate, tax=one.value) for one in taxes),
        adjustments=sum((signed(one) for one in best.adjustments), ZERO) if best else ZERO,
    )


def _included(taxes: Sequence[Labelled], tax: Decimal, gross: Decimal) -> bool:
    """Whether the one tax is, by the rate printed beside it, included in the gross amount."""
    rate = taxes[0].rate
    return (
        len(taxes) == 1
        and rate is not None
        and rate > 0
        and abs(gross * rate / (100 + rate) - tax) <= 2 * CENT
    )


def best_sum(labelled: Sequence[Labelled]) -> Sum | None:
    """The clearest set of labelled amounts in which net, taxes and adjustments make the gross amount."""
    best: Sum | None = None
    for candidate in sums(labelled):
        if best is None or candidate.score > best.score:
            best = candidate
    return best


def sums(labelled: Sequence[Labelled]) -> Iterator[Sum]:
    """Every set of labelled amounts that adds up, in no order."""
    sure = [one for one in labelled if not _unsure(one)]
    grosses = _distinct(one for one in sure if one.role in ("gross", "due", "total") and one.strength > 1)
    nets = _distinct(one for one in sure if one.role in ("net", "base", "total"))
    extras = _extras(sure)
    for taxes in _tax_sets(sure):
        tax = sum((one.value for one in taxes), ZERO)
        for net in nets:
            for adjustments in extras:
                rest = net.value + tax + sum((signed(one) for one in adjustments), ZERO)
                for gross in grosses:
                    slack = CENT * max(1, len(taxes))
                    if (
                        abs(rest - gross.value) <= slack
                        and gross.amount is not net.amount
                        and gross.value != 0
                    ):
                        yield Sum(net, taxes, adjustments, gross, _score(net, taxes, adjustments, gross))


def _score(
    net: Labelled, taxes: tuple[Labelled, ...], adjustments: tuple[Labelled, ...], gross: Labelled
) -> float:
    score = (
        2.0 * gross.strength
        + net.strength
        + (2 if gross.role == "gross" else 1 if gross.role == "due" else 0)
    )
    score += sum(tax.strength for tax in taxes) / len(taxes)
    score -= 1.5 * len(adjustments) + 0.4 * (len(taxes) - 1)
    if net.role == "total":
        score -= 1
    if net.role == "base":
        score -= 0.5
    nonzero = any(tax.value for tax in taxes)
    score += 1.5 if nonzero else -1
    # Of two sums that hold, the larger is the whole and the smaller a part of it.
    return score + float(min(abs(gross.value), Decimal(10) ** 9)) * 1e-12


def _distinct(items: Iterable[Labelled]) -> list[Labelled]:
    """One for each value and role, the most clearly labelled."""
    best: dict[tuple[Decimal, Role], Labelled] = {}
    for item in items:
        key = (item.value, item.role)
        if key not in best or item.strength > best[key].strength:
            best[key] = item
    return list(best.values())[:24]


def _tax_sets(sure: Sequence[Labelled]) -> Iterator[tuple[Labelled, ...]]:
    """Single taxes, all printed tax rows together, and pairs and triples of them (one row for each rate)."""
    rows = [one for one in sure if one.role == "tax"]
    for one in _distinct(rows):
        yield (one,)
    explicit = [one for one in rows if one.strength >= 2 and one.value][:8]
    by_place = {(one.amount.line, one.amount.start): one for one in explicit}
    seen: set[tuple[int, ...]] = set()
    for size in (2, 3, 4):
        for group in combinations(by_place.values(), size):
            if len({one.amount.line for one in group}) == size or group[0].manner == "over":
                key = tuple(id(one) for one in group)
                if key not in seen:
                    seen.add(key)
                    yield group


def _extras(sure: Sequence[Labelled]) -> list[tuple[Labelled, ...]]:
    """No adjustment, or one or two of discount, shipping and rounding."""
    found = _distinct(one for one in sure if one.role in ("discount", "shipping", "rounding") and one.value)[
        :5
    ]
    return [(), *((one,) for one in found), *combinations(found, 2)]


def signed(adjustment: Labelled) -> Decimal:
    """What an adjustment adds to the net amount; a discount takes away whether or not a minus is printed."""
    return -abs(adjustment.value) if adjustment.role == "discount" else adjustment.value


def clearest_gross(labelled: Sequence[Labelled]) -> Labelled | None:
    """The amount that is called the total most clearly; of equals the larger, and then the last printed."""
    order: dict[Role, int] = {"gross": 3, "due": 2, "total": 1}
    candidates = [one for one in labelled if one.role in order and one.manner != "column"]
    candidates = candidates or [one for one in labelled if one.role == "gross"]
    nonzero = [one for one in candidates if one.value != 0] or candidates
    if not nonzero:
        return None
    strongest = max(one.strength for one in nonzero)
    clear = [one for one in nonzero if one.strength >= min(strongest, 2)]
    return max(clear, key=lambda one: (one.strength, order[one.role], abs(one.value), one.amount.line))


def _loose_parts(
    labelled: Sequence[Labelled], gross: Labelled
) -> tuple[Labelled | None, tuple[Labelled, ...]]:
    """Net and tax where nothing adds up: only what one explicit label names, and no more than the gross."""
    within = [
        one
        for one in labelled
        if abs(one.value) <= abs(gross.value) and not _unsure(one) and one.strength >= 2
    ]
    nets = {one.value: one for one in within if one.role == "net" and one.manner != "column"}
    taxes = {one.value: one for one in within if one.role == "tax" and one.manner != "column"}
    net = next(iter(nets.values())) if len(nets) == 1 else None
    tax = next(iter(taxes.values())) if len(taxes) == 1 else None
    return net, (tax,) if tax else ()


def _unsure(one: Labelled) -> bool:
    return one.amount.other is not None


def _fact(
    reading: Document, chosen: Labelled | None, labelled: Sequence[Labelled], roles: Sequence[Role]
) -> Fact[Decimal]:
    rivals = _distinct(one for one in labelled if one.role in roles and one.strength > 1)
    others = tuple(
        f"{one.amount.text} ({one.label})" for one in rivals if chosen is None or one.value != chosen.value
    )
    if chosen is None:
        return Fact[Decimal](considered=others[:6])
    line = reading.lines[chosen.amount.line]
    if _unsure(chosen):
        both = f"{chosen.value} or {chosen.amount.other}"
        return Fact[Decimal](
            page=line.page,
            printed=line.text,
            considered=(both, *others[:5]),
            why=f'"{chosen.amount.text}" may mean {both}',
        )
    return Fact[Decimal](
        value=chosen.value,
        confidence={3: 0.9, 2: 0.7}.get(chosen.strength, 0.4),
        page=line.page,
        printed=line.text.replace("\t", "  "),
        considered=others[:6],
        why=f'printed {_WHERE[chosen.manner]} "{chosen.label}"',
    )


def _tax_fact(
    reading: Document, taxes: Sequence[Labelled], total: Decimal | None, labelled: Sequence[Labelled]
) -> Fact[Decimal]:
    if len(taxes) <= 1:
        return _fact(reading, taxes[0] if taxes else None, labelled, ("tax",))
    first = _fact(reading, taxes[0], labelled, ("tax",))
    parts = " + ".join(str(one.value) for one in taxes)
    return first.model_copy(update={"value": total, "why": f"{parts}, one row for each rate"})


def _currency(document: Document, gross: Labelled | None, labelled: Sequence[Labelled]) -> Fact[str]:
    """The currency printed with the total; else the only one that the document names."""
    clues = document.clues
    signs = [one.amount.sign for one in labelled if one.amount.sign]
    own = gross.amount.sign if gross else ""
    resolved = {code for sign in signs if (code := resolve(sign, clues.countries, clues.currencies))}
    named = tuple(dict.fromkeys((*clues.currencies, *sorted(resolved))))
    if own:
        code = resolve(own, clues.countries, clues.currencies)
        if code is not None:
            others = tuple(one for one in named if one != code)
            return Fact[str](
                value=code,
                confidence=0.9,
                printed=own,
                considered=others,
                why=f'"{own.strip()}" beside the total',
            )
        return Fact[str](
            printed=own, why=f'"{own.strip()}" is the sign of several currencies and nothing says which'
        )
    if len(named) == 1:
        return Fact[str](value=named[0], confidence=0.8, why="the only currency that the document names")
    if len(named) > 1:
        return Fact[str](
            considered=named, why="several currencies are named and none stands beside the total"
        )
    homes = {code for country in clues.countries if (code := national(country))}
    if len(homes) == 1:
        return Fact[str](
            value=homes.pop(), confidence=0.4, why="no currency is printed; it is that of the country named"
        )
    return Fact[str](why="no currency is printed")

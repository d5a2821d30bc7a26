"""The ledger: what may be spent, what was, and what is set aside for work whose cost is not known yet.

An account has a balance for each meter that is limited on it. A reservation sets amounts aside on all its
accounts at once, or on none. Amounts are whole numbers: money in trillionths of a dollar, time in
microseconds.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

Place = tuple[str, str]
"""An account and a meter."""


class Claim(NamedTuple):
    """What a reservation sets aside on one account.

    Attributes:
        account: The account's name; it holds the start of its window, where it has one.
        meter: What is counted.
        amount: How much is asked for.
        limit: The most that may be spent and set aside, this included.
    """

    account: str
    meter: str
    amount: int
    limit: int


class Reserve(NamedTuple):
    """Set amounts aside, all or none.

    A reservation that is there already, made under the same id by an owner that died, is taken over: it is
    raised where more is asked for now and there is room, and it stays on the accounts that it was made on.

    Attributes:
        id: Its name within the run.
        claims: What is asked for.
    """

    id: str
    claims: Sequence[Claim]


class Settle(NamedTuple):
    """Spend what work has cost, be it more than was set aside, and give the rest back.

    A reservation that is not there (any more) is settled already: nothing happens.

    Attributes:
        id: The reservation.
        spent: Amounts by meter.
    """

    id: str
    spent: Mapping[str, int]


class Release(NamedTuple):
    """Give back what was set aside: nothing was spent."""

    id: str


LedgerEntry = Reserve | Settle | Release


class Shortfall(NamedTuple):
    """Why a reservation was not made: one meter that had not enough left.

    Attributes:
        id: The reservation.
        account: The account.
        meter: The meter.
        limit: What may be spent.
        spent: What was.
        reserved: What is set aside for others.
        asked: What was asked for.
    """

    id: str
    account: str
    meter: str
    limit: int
    spent: int
    reserved: int
    asked: int


class Balance(NamedTuple):
    """How an account stands, on one of its meters.

    Attributes:
        account: Its name.
        meter: What is counted.
        limit: What may be spent, as the last reservation said.
        spent: What was.
        reserved: What is set aside.
    """

    account: str
    meter: str
    limit: int
    spent: int
    reserved: int


class Held(NamedTuple):
    """What one reservation of a run holds on one account."""

    run_id: str
    id: str
    account: str
    meter: str
    amount: int


def weigh(
    entry: Reserve, held: Mapping[Place, int], balances: Mapping[Place, Balance]
) -> tuple[list[Claim], tuple[Shortfall, ...]]:
    """Return what a reservation adds to its accounts, or what is missing for it.

    Args:
        entry: The reservation.
        held: What it holds already, by account and meter.
        balances: How its accounts stand.
    """
    claims = list(entry.claims)
    if held:
        claims = [
            claim._replace(amount=claim.amount - held[claim[:2]])
            for claim in claims
            if claim.amount > held.get(claim[:2], claim.amount)
        ]
    missing: list[Shortfall] = []
    for account, meter, asked, limit in claims:
        _, _, _, spent, reserved = balances[account, meter]
        if spent + reserved + asked > limit:
            missing.append(Shortfall(entry.id, account, meter, limit, spent, reserved, asked))
    return claims, tuple(missing)


class MemoryLedger:
    """A ledger in memory."""

    def __init__(self) -> None:
        self._balances: dict[Place, Balance] = {}
        self._held: dict[tuple[str, str], dict[Place, int]] = {}

    def apply(self, run_id: str, entries: Sequence[LedgerEntry]) -> tuple[Shortfall, ...]:
        """Keep the entries of one batch; return what was missing for reservations."""
        missing: tuple[Shortfall, ...] = ()
        for entry in entries:
            match entry:
                case Reserve():
                    missing += self._reserve(run_id, entry)
                case Settle(id, spent):
                    self._settle(run_id, id, spent)
                case Release(id):
                    self._settle(run_id, id, {})
        return missing

    def _reserve(self, run_id: str, entry: Reserve) -> tuple[Shortfall, ...]:
        for account, meter, _, limit in entry.claims:
            known = self._balances.get((account, meter))
            self._balances[account, meter] = (
                Balance(account, meter, limit, 0, 0) if known is None else known._replace(limit=limit)
            )
        held = self._held.get((run_id, entry.id), {})
        claims, missing = weigh(entry, held, self._balances)
        if not missing:
            for account, meter, amount, _ in claims:
                place = account, meter
                balance = self._balances[place]
                self._balances[place] = balance._replace(reserved=balance.reserved + amount)
                held[place] = held.get(place, 0) + amount
            self._held[run_id, entry.id] = held
        return missing

    def _settle(self, run_id: str, reservation: str, spent: Mapping[str, int]) -> None:
        for place, amount in self._held.pop((run_id, reservation), {}).items():
            balance = self._balances[place]
            self._balances[place] = balance._replace(
                reserved=balance.reserved - amount, spent=balance.spent + spent.get(place[1], 0)
            )

    def balances(self, prefix: str) -> list[Balance]:
        """Return how the accounts stand whose names begin with a text."""
        return sorted(balance for balance in self._balances.values() if balance.account.startswith(prefix))

    def reservations(self, run_id: str) -> list[Held]:
        """Return what reservations hold: of one run, or of all when it is empty."""
        return sorted(
            Held(run, reservation, account, meter, amount)
            for (run, reservation), places in self._held.items()
            for (account, meter), amount in places.items()
            if run_id in (run, "")
        )

"""Accounts that a run keeps by itself: of the run, and of the parts of its pipeline that are under quotas."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import add
from typing import Literal
from urllib.parse import quote

from flujo.journal.ledger import Shortfall
from flujo.pipeline.quota import METERS, NOTHING, TIME, Amounts, Meter, Of, Per, Quota
from flujo.plan.nodes import PlanScope

Limits = tuple[tuple[int, int], ...]
"""What is limited, by its place in :data:`METERS`, and to how much."""


class Account:
    """What one part of a run may spend, has spent, and has set aside.

    Args:
        name: What messages call it.
        limits: What is limited.
        spent: What was spent before.
    """

    __slots__ = ("limits", "name", "reserved", "spent", "watch")

    def __init__(self, name: str, limits: Limits, spent: Sequence[int] = NOTHING) -> None:
        self.name = name
        self.limits = limits
        self.spent = list(spent)
        self.reserved = list(NOTHING)
        self.watch: Stopwatch | None = None
        for meter, limit in limits:
            if meter == TIME:
                self.watch = Stopwatch(limit, self.spent[TIME])

    def missing(self, asked: Sequence[int], reservation: str) -> Shortfall | None:
        """Return what there is not enough of for what is asked; None where all fits."""
        for meter, limit in self.limits:
            if self.spent[meter] + self.reserved[meter] + asked[meter] > limit:
                spent, reserved = self.spent[meter], self.reserved[meter]
                return Shortfall(reservation, self.name, METERS[meter], limit, spent, reserved, asked[meter])
        if self.watch is not None and self.watch.left() <= 0:
            limit = self.watch.limit
            return Shortfall(reservation, self.name, "seconds", limit, limit, 0, 0)
        return None

    def set_aside(self, asked: Sequence[int]) -> None:
        """Set aside what is asked."""
        for meter, _ in self.limits:
            self.reserved[meter] += asked[meter]

    def settle(self, reserved: Sequence[int], spent: Sequence[int]) -> None:
        """Spend what work cost, and give back what was set aside for it."""
        for meter, _ in self.limits:
            self.reserved[meter] -= reserved[meter]
            self.spent[meter] += spent[meter]


class Stopwatch:
    """Measures the working time of what runs side by side, and stops it when there is none left.

    Args:
        limit: Microseconds that there are in all.
        spent: Microseconds that were spent before.
    """

    def __init__(self, limit: int, spent: int) -> None:
        self.limit = limit
        self._left = (limit - spent) / 1e6
        self._at = 0.0
        self._running: set[asyncio.Timeout] = set()

    def left(self) -> float:
        """Return how many seconds are left."""
        now = asyncio.get_running_loop().time()
        self._left -= (now - self._at) * len(self._running)
        self._at = now
        return self._left

    @contextmanager
    def measure(self, limit: asyncio.Timeout) -> Generator[None]:
        """Measure a block, whose time limit is moved to when nothing will be left."""
        self.left()
        self._running.add(limit)
        self._move()
        try:
            yield
        finally:
            self.left()
            self._running.discard(limit)
            self._move()

    def _move(self) -> None:
        for limit in self._running:
            if not limit.expired():
                limit.reschedule(self._at + max(self._left, 0.0) / len(self._running))


@dataclass(frozen=True, slots=True)
class SharedAccount:
    """An account that is kept in the store, for all runs of a pipeline or of a tenant.

    Attributes:
        of: Whose spending it counts.
        part: The part of the pipeline whose spending it counts; empty for all of it.
        per: The window that it counts in.
        limits: What is limited.
    """

    of: Literal["pipeline", "tenant"]
    part: str
    per: Per | None
    limits: Limits

    def stem(self, pipeline: str, tenant: str) -> str:
        """Return its name without the window."""
        stem = f"tenant:{plain(tenant)}" if self.of == "tenant" else f"pipeline:{plain(pipeline)}"
        return f"{stem}/in:{plain(f'{pipeline}:{self.part}')}" if self.part else stem

    def name(self, stem: str, now: int) -> str:
        """Return its name, with the window that a time lies in (microseconds since the Unix epoch)."""
        return stem if self.per is None else f"{stem}/{self.per}:{window(self.per, now)}"


def window(per: Per, now: int) -> str:
    """Return when the window began that a time lies in, by the calendar in UTC."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now)
    match per:
        case "hour":
            return f"{at:%Y-%m-%dT%H}"
        case "day":
            return f"{at:%Y-%m-%d}"
        case "week":
            return f"{at - timedelta(days=at.weekday()):%Y-%m-%d}"
        case "month":
            return f"{at:%Y-%m}"


def plain(name: str) -> str:
    """Return a name without the characters that accounts are named with."""
    return quote(name, safe=" []:")


def local_limits(quotas: Iterable[Quota]) -> Limits:
    """Return what quotas limit that count one run: the tightest of each meter."""
    return _tightest(quota for quota in quotas if not quota.is_shared)


def shared_accounts(scopes: Iterable[PlanScope]) -> tuple[SharedAccount, ...]:
    """Return the accounts in the store that quotas count on."""
    found: dict[tuple[Of, str, Per | None], list[Quota]] = {}
    for scope in scopes:
        for quota in scope.quotas:
            if quota.is_shared:
                found.setdefault((quota.of, scope.path, quota.per), []).append(quota)
    return tuple(
        SharedAccount("tenant" if of == "tenant" else "pipeline", part, per, _tightest(quotas))
        for (of, part, per), quotas in found.items()
    )


def _tightest(quotas: Iterable[Quota]) -> Limits:
    limits: dict[Meter, int] = {}
    for quota in quotas:
        for meter, limit in quota.limits.items():
            limits[meter] = min(limit, limits.get(meter, limit))
    return tuple((METERS.index(meter), limit) for meter, limit in limits.items())


Key = tuple[int, tuple[str, ...]]
"""A part of a plan, and the turns and items that it lies in."""


@dataclass(slots=True)
class Purse:
    """The accounts of one run.

    Attributes:
        spent: What was spent before this process took the run on, by part.
        accounts: The accounts that were used since.
    """

    spent: Mapping[Key, Sequence[int]] = field(default_factory=dict[Key, Sequence[int]])
    accounts: dict[Key, Account] = field(default_factory=dict[Key, Account])

    def account(self, key: Key, name: str, limits: Limits) -> Account:
        """Return an account, opened where it was not used yet."""
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(name, limits, self.spent.get(key, NOTHING))
        return account

    def again(self) -> Purse:
        """Return the same accounts, to go on from more than once; nothing is under way on them."""
        spent = {**self.spent, **{key: tuple(account.spent) for key, account in self.accounts.items()}}
        return Purse(deepcopy(spent))


def plus(one: Sequence[int], other: Sequence[int]) -> Amounts:
    """Return two amounts together."""
    return tuple(map(add, one, other))


def beyond(one: Sequence[int], other: Sequence[int]) -> Amounts:
    """Return by how much amounts go beyond others."""
    return tuple([left - right if left > right else 0 for left, right in zip(one, other, strict=True)])

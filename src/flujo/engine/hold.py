"""A hold: what one attempt has set aside, from before it begins until it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any

from flujo.engine.accounts import Account, SharedAccount, beyond, plus
from flujo.engine.failures import OutOfTime
from flujo.engine.run import Run
from flujo.errors import QuotaExceeded
from flujo.journal.ledger import Claim, Reserve, Settle, Shortfall
from flujo.pipeline.info import NO_USAGE, Spending, StepInfo, Usage
from flujo.pipeline.quota import (
    METERS,
    NOTHING,
    STEPS,
    TIME,
    Amounts,
    amounts,
    by_meter,
    in_units,
    shown,
    usage_from,
)


class Hold:
    """What one attempt has set aside.

    Attributes:
        used: What it has used in the end; None while it is under way.
    """

    def __init__(
        self,
        run: Run,
        info: StepInfo,
        label: str,
        accounts: Sequence[Account],
        shared: Mapping[str, SharedAccount],
        bound: Amounts,
    ) -> None:
        self.id = f"{info.address}@{info.attempt}"
        self.bound = bound
        self.used: Amounts | None = None
        self._run = run
        self._info = info
        self._label = label
        self._accounts = accounts
        self._shared = shared
        self._set_aside: Amounts = NOTHING
        self._open: list[Spending] = []
        self._begun = 0.0
        self._one = asyncio.Lock()  # each time, the store is asked for all together

    @property
    def limits(self) -> frozenset[str]:
        """The meters that some account limits, be it the run's own or one in the store."""
        accounts = (*self._accounts, *self._shared.values())
        return frozenset(METERS[meter] for account in accounts for meter, _ in account.limits)

    async def begin(self) -> None:
        """Set the attempt's bound aside, and record that it is.

        Raises:
            QuotaExceeded: There is not so much left.
        """
        if self._shared:
            reserved = {
                name: {METERS[meter]: self.bound[meter] for meter, _ in account.limits}
                for name, account in self._shared.items()
            }
            body = {"attempt": self._info.attempt, "reserved": reserved}
            self._run.note("step.reserved", self._info.address, body)
        try:
            await self._raise(self.bound)
        except asyncio.CancelledError:  # the store may have kept it
            self.release()
            self.record()
            raise

    async def _raise(self, asked: Amounts) -> None:
        """Set more aside, everywhere or nowhere."""
        self._set_more_aside(asked)
        if not self._shared:
            return
        made = False
        try:
            missing = await self._ask_store()
            made = not missing
        finally:
            if not made:
                self._set_aside = beyond(self._set_aside, asked)
                for account in self._accounts:
                    account.settle(asked, NOTHING)
        if missing:
            raise self._exceeded(missing[0])

    def _set_more_aside(self, asked: Amounts) -> None:
        for account in self._accounts:
            if missing := account.missing(asked, self.id):
                raise self._exceeded(missing)
        for account in self._accounts:
            account.set_aside(asked)
        self._set_aside = plus(self._set_aside, asked)

    async def _ask_store(self) -> tuple[Shortfall, ...]:
        recorder = self._run.recorder
        assert recorder is not None
        claims = [
            Claim(name, METERS[meter], self._set_aside[meter], limit)
            for name, account in self._shared.items()
            for meter, limit in account.limits
        ]
        missing = await recorder.reserve(Reserve(self.id, claims))
        return tuple(one for one in missing if one.id == self.id)

    @asynccontextmanager
    async def within_time(self) -> AsyncGenerator[None]:
        """Measure the attempt, and stop it when the time of an account runs out."""
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        watches = [(account, account.watch) for account in self._accounts if account.watch is not None]
        limits: list[tuple[Account, asyncio.Timeout]] = []
        try:
            async with AsyncExitStack() as stack:
                for account, watch in watches:
                    limit = await stack.enter_async_context(asyncio.timeout(None))
                    limits.append((account, limit))
                    stack.enter_context(watch.measure(limit))
                yield
        except TimeoutError as error:
            out = next((account for account, limit in limits if limit.expired()), None)
            if out is None or out.watch is None:
                raise
            missing = Shortfall(self.id, out.name, "seconds", out.watch.limit, out.watch.limit, 0, 0)
            facts = facts_of(missing)
            raise OutOfTime(_text(missing), facts) from error

    async def add(self, spending: Spending) -> None:
        """Set aside what a part of the attempt may cost, as far as it is not yet.

        Raises:
            QuotaExceeded: There is not so much left.
        """
        async with self._one:
            committed = amounts(self._info.usage + _total(self._open) + spending.bound)
            more = beyond(committed, self._set_aside)
            if any(more):
                await self._raise(more)
            self._open.append(spending)

    def over(self, spending: Spending, *, known: bool) -> None:
        """Say that a part of the attempt is over; one that was broken off has cost its bound."""
        self._open.remove(spending)
        if not known:
            rest = _rest(spending)
            if rest:
                self._info.report(rest)

    async def fit(self, usage: Usage) -> None:
        """Set aside what was used beyond what is set aside.

        Raises:
            QuotaExceeded: There is not so much left; it was used all the same.
        """
        if not usage:
            return
        async with self._one:
            more = beyond(amounts(usage), self._set_aside)
            if any(more):
                await self._raise(more)

    def close(self, usage: Usage, *, unknown: bool) -> Usage:
        """Settle what the attempt used, and return it; at its bound, at least, where its end is unknown."""
        reported = amounts(usage)
        more = list(beyond(self.bound, reported) if unknown else NOTHING)
        more[STEPS] = self.bound[STEPS]
        if self._begun:
            more[TIME] = round((asyncio.get_running_loop().time() - self._begun) * 1e6)
        self.used = plus(reported, more)
        for account in self._accounts:
            account.settle(self._set_aside, self.used)
        return usage + usage_from(tuple(more))

    def release(self) -> None:
        """Give back what was set aside: the attempt never began."""
        self.used = NOTHING
        for account in self._accounts:
            account.settle(self._set_aside, NOTHING)

    def record(self) -> None:
        """Have the store settle it, together with the event that is about to be recorded, or just was."""
        if self._shared and self.used is not None and self._run.recorder is not None:
            spent = by_meter(self.used)
            self._run.recorder.settle(Settle(self.id, spent))

    def _exceeded(self, missing: Shortfall) -> QuotaExceeded:
        return exceeded(missing, self._label, self._info.address, self._info.attempt)


def _rest(spending: Spending) -> Usage:
    """Return what is left of what was set aside for a part."""
    rest = beyond(amounts(spending.bound), amounts(spending.usage))
    return usage_from(rest)


def _total(spendings: Sequence[Spending]) -> Usage:
    total = NO_USAGE
    for one in spendings:
        total = total + _rest(one)
    return total


def exceeded(missing: Shortfall, label: str, address: str, attempt: int) -> QuotaExceeded:
    """Return what a step is told for which there was not enough left."""
    return QuotaExceeded(
        _text(missing),
        step=label,
        address=address,
        attempt=attempt,
        fix="raise the quota, wait for its next window, or give the step a fallback that costs less",
        **facts_of(missing),
    )


def facts_of(missing: Shortfall) -> dict[str, Any]:
    """Return how an account stands, in the units of people."""
    _, account, meter, *counted = missing
    limit, spent, reserved, asked = (in_units(meter, amount) for amount in counted)
    return {
        "meter": meter,
        "account": account,
        "limit": limit,
        "spent": spent,
        "reserved": reserved,
        "asked": asked,
    }


def _text(missing: Shortfall) -> str:
    _, account, meter, limit, spent, reserved, asked = missing
    begun = shown(meter, spent) if meter == "usd" else in_units(meter, spent)
    stands = f"{begun} of {shown(meter, limit)} spent"
    if reserved:
        stands += f", {shown(meter, reserved) if meter == 'usd' else in_units(meter, reserved)} reserved"
    return f"the quota of {account!r} has no room for {shown(meter, asked)}: {stands}"


class Part:
    """A part of an attempt, as ``async with`` enters it.

    Args:
        hold: What the attempt has set aside.
        spending: The part.
    """

    def __init__(self, hold: Hold, spending: Spending) -> None:
        self._hold = hold
        self._spending = spending

    async def __aenter__(self) -> Spending:
        await self._hold.add(self._spending)
        return self._spending

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        ended = kind is None or issubclass(kind, Exception)
        self._hold.over(self._spending, known=ended and self._spending.known)

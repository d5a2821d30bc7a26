"""Quotas at work: what an attempt may cost is set aside before it begins, and settled when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

from pydantic_core import from_json
from typing_extensions import override

from flujo.engine.accounts import (
    Account,
    Key,
    Purse,
    SharedAccount,
    local_limits,
    plus,
    shared_accounts,
)
from flujo.engine.attempts import Attempts, Direct
from flujo.engine.effects import StepEffects
from flujo.engine.failures import Attempted, CutOff, OutOfTime, TimeLimit
from flujo.engine.hold import Hold, exceeded, facts_of
from flujo.engine.record import read_usage, write_usage
from flujo.engine.run import Frame, Run, Suspended, Walk, mutations
from flujo.errors import ConfigError, QuotaExceeded
from flujo.journal.ledger import Settle, Shortfall
from flujo.pipeline.info import NO_USAGE, StepInfo, Usage
from flujo.pipeline.quota import (
    METERS,
    NOTHING,
    STEPS,
    TIME,
    Amounts,
    Meter,
    Quota,
    amounts,
    by_meter,
    shown,
    usage_from,
    usage_of,
)
from flujo.plan.nodes import PlanScope, PlanStep
from flujo.plan.plan import NUMBER, Plan
from flujo.plan.worst import Cost, worst_cost

UNKNOWN = "its end is not known"
_PARTS = ("step.attempt", "step.discarded")
_USAGE = b'"usage":'


class Quotas:
    """The quotas of a plan and of its runner.

    Args:
        plan: The plan.
        given: What holds for whole runs.
        durable: Whether runs are recorded in a store.

    Attributes:
        given: What holds for whole runs.

    Raises:
        ConfigError: A quota counts over runs, and there is no store that would keep its account.
    """

    def __init__(self, plan: Plan, given: tuple[Quota, ...], *, durable: bool) -> None:
        self._plan = plan
        self.given = given
        self._whole = (PlanScope(0, "", given, 0),) if given else ()
        scopes = {scope for path in plan.nodes for scope in self.scopes(path)}
        self.is_shared = any(quota.is_shared for scope in scopes for quota in scope.quotas)
        if self.is_shared and not durable:
            raise ConfigError(
                "a quota counts over runs, but this runner has no store to keep its account in",
                fix='pass state="flujo_ops.db", the URL of a PostgreSQL database, or MemoryStore()',
            )

    def scopes(self, path: str) -> tuple[PlanScope, ...]:
        """Return what a node lies in, the outermost first."""
        return (*self._whole, *self._plan.scopes.get(path, ()))

    def attempts(self, plan: PlanStep, fallback: Walk | None) -> LimitedAttempts | None:
        """Return the attempts of a step under quotas; None where none holds."""
        scopes = self.scopes(plan.path)
        return LimitedAttempts(plan, fallback, self, scopes) if scopes else None

    async def check(self, run: Run) -> None:
        """Refuse to begin a run that could exceed a quota, as far as the accounts stand now.

        Raises:
            QuotaExceeded: It could; the error names the meter, and how much there could be too much.
        """
        scopes = {scope: None for path in self._plan.nodes for scope in self.scopes(path)}
        for scope in scopes:
            cost = worst_cost(self._plan, scope if scope.number else None)
            name = scope.path or "run"
            self._compare(cost, Account(name, local_limits(scope.quotas)))
            for shared in shared_accounts([scope]):
                name = shared.name(shared.stem(self.pipeline, run.tenant), run.clock.now())
                account = Account(name, shared.limits)
                assert run.recorder is not None
                for one in await run.recorder.store.balances(name):
                    if one.account == name:
                        place = METERS.index(cast("Meter", one.meter))
                        account.spent[place], account.reserved[place] = one.spent, one.reserved
                self._compare(cost, account)

    def _compare(self, cost: Cost, account: Account) -> None:
        for place, limit in account.limits:
            spent, reserved, most = account.spent[place], account.reserved[place], cost.counted[place]
            meter, why = METERS[place], cost.unbounded.get(place)
            over = spent + reserved + most - limit
            if why is None and over <= 0:
                continue
            says = f"without bound: {why}" if why else f"{shown(meter, most)}, {shown(meter, over)} too much"
            missing = Shortfall("", account.name, meter, limit, spent, reserved, most)
            left = shown(meter, max(limit - spent - reserved, 0))
            raise QuotaExceeded(
                f"the quota of {account.name!r} has {left} left, and the worst case takes {says}",
                step="",
                address="",
                fix="raise the quota; declare bound=Usage(…) and timeout= for its steps; or run it without "
                'quota="refuse"',
                **facts_of(missing),
            )

    def _scopes_at(self, address: str) -> tuple[PlanScope, ...]:
        return self.scopes(NUMBER.sub("[]", address).removesuffix("[]"))

    def _joined(self, run: Run) -> Callable[[str], list[Key]] | None:
        """Return what tells the accounts that nodes count on which joined the run on the way."""
        recorded = mutations(run.notes)
        if not recorded:
            return None
        from flujo.engine.rows import accounts_of

        return accounts_of(recorded, [scope.number for scope in self._whole])

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._plan.name

    def purse(self, run: Run) -> Purse:
        """Return the accounts of a run, with what its journal says that was spent."""
        if run.purse is None:
            spent: dict[Key, Amounts] = {}
            joined = self._joined(run)
            for address, usage in _recorded(run):
                counted = amounts(usage)
                keys = [key_of(scope, address) for scope in self._scopes_at(address)]
                for key in keys if joined is None else joined(address) or keys:
                    spent[key] = plus(spent.get(key, NOTHING), counted)
            run.purse = Purse(spent)
        return run.purse


def key_of(scope: PlanScope, address: str) -> Key:
    """Return which account of a part an address counts on."""
    return scope.number, tuple(NUMBER.findall(address)[: scope.depth]) if scope.depth else ()


def _recorded(run: Run) -> list[tuple[str, Usage]]:
    """Return what a run's journal says that was used, by address."""
    found: list[tuple[str, Usage]] = []
    for address, body in run.done.items():
        if isinstance(body, bytes) and _USAGE in body:
            found.append((address, read_usage(from_json(body).get("usage"))))
    for address, notes in run.notes.items():
        if address not in run.done:
            found += [
                (address, read_usage(note.body["usage"]))
                for note in notes
                if note.kind in _PARTS and "usage" in note.body
            ]
    return found


class LimitedAttempts(Attempts):
    """The attempts of one step under quotas.

    Args:
        plan: The step.
        fallback: The walk of its fallback.
        quotas: The quotas of the plan.
        scopes: What the step lies in.
    """

    def __init__(
        self, plan: PlanStep, fallback: Walk | None, quotas: Quotas, scopes: Sequence[PlanScope]
    ) -> None:
        super().__init__(plan, fallback)
        self.settle = self.recorded
        self._quotas = quotas
        self._label = plan.label
        self._local = [
            (scope, scope.path or "run", limits) for scope in scopes if (limits := local_limits(scope.quotas))
        ]
        self._shared = shared_accounts(scopes)
        limited = {meter for _, _, limits in self._local for meter, _ in limits}
        limited |= {meter for account in self._shared for meter, _ in account.limits}
        bound = list(amounts(plan.node.bound or NO_USAGE))
        bound[STEPS], bound[TIME] = int(STEPS in limited), 0
        self._bound = tuple(bound)
        self._reports = bool(plan.signature.info)
        self._measured = TIME in limited
        plain = not (self._shared or self._measured or plan.node.bound)
        if self.direct is not None:
            self.direct = self._counted(self.direct) if plain else None
        self.once = Attempted(None, usage=usage_from(self._bound) if STEPS in limited else NO_USAGE)

    @property
    @override
    def is_shared(self) -> bool:
        return bool(self._shared)

    def _counted(self, direct: Direct) -> Direct:
        """Return how an agent is called once that can cost nothing but a step."""
        bound, label = self._bound, self._label

        async def counted(frame: Frame, value: Any) -> Any:
            run, address = frame.run, frame.prefix + label
            accounts = self._accounts(run, address)
            for account in accounts:
                if missing := account.missing(bound, f"{address}@1"):
                    raise exceeded(missing, label, address, 1)
            for account in accounts:
                account.settle(NOTHING, bound)  # it is spent as soon as it begins
            failed = True
            try:
                output = await direct(frame, value)
                failed = False
            except asyncio.CancelledError:
                failed = False
                raise
            finally:
                if failed:
                    frame.used(self.once.usage)
            return output

        return counted

    def _accounts(self, run: Run, address: str) -> list[Account]:
        """Return the run's own accounts that an address counts on."""
        purse = run.purse or self._quotas.purse(run)
        return [
            purse.accounts.get(key) or purse.account(key, name, limits)
            for scope, name, limits in self._local
            for key in (key_of(scope, address),)
        ]

    async def _take(self, run: Run, info: StepInfo) -> Hold:
        accounts = self._accounts(run, info.address)
        named = self._named(run, await self._kept(run, info)) if self._shared else {}
        hold = Hold(run, info, self._label, accounts, named, self._bound)
        await hold.begin()
        run.holds[info.address] = hold
        return hold

    @staticmethod
    async def _kept(run: Run, info: StepInfo) -> list[str]:
        """Return the accounts in the store on which something is still set aside for this attempt.

        A process died meanwhile. Of one that paused, all is settled: it begins anew.
        """
        notes = run.noted(info.address)
        if not any(note.kind == "step.reserved" and note.body["attempt"] == info.attempt for note in notes):
            return []
        assert run.recorder is not None
        reservations = await run.recorder.store.reservations(run.id)
        return [one.account for one in reservations if one.id == f"{info.address}@{info.attempt}"]

    def _named(self, run: Run, kept: Sequence[str] = ()) -> dict[str, SharedAccount]:
        """Return the accounts in the store by name: those that are kept, and else those of this time."""
        named: dict[str, SharedAccount] = {}
        for account in self._shared:
            stem = account.stem(self._quotas.pipeline, run.tenant)
            begun = [
                name for name in kept if name.rpartition(f"/{account.per}:")[0 if account.per else 2] == stem
            ]
            named[begun[0] if begun else account.name(stem, run.clock.now())] = account
        return named

    @override
    async def _attempt(self, frame: Frame, value: Any, info: StepInfo) -> Any:
        hold = await self._take(frame.run, info)
        if self._measured:
            async with hold.within_time():
                output = await super()._attempt(frame, value, info)
        else:
            output = await super()._attempt(frame, value, info)
        if not self._reports and self._node.bound is not None:
            info.report(self._node.bound)
        await hold.fit(info.usage)
        info.usage = hold.close(info.usage, unknown=False)
        if not self._shared:
            del frame.run.holds[info.address]
        return output

    @override
    def _failed(self, frame: Frame, info: StepInfo, error: Exception, said: Exception) -> float | Suspended:
        broken_off = isinstance(error, TimeLimit | CutOff) and not self._never_began(error)
        self._settle(frame.run, info, unknown=broken_off)
        if self._once and broken_off and info.usage:  # nothing else tells of an attempt that is in doubt
            body = {
                "attempt": info.attempt,
                "why": self.GIVEN_UP,
                "usage": from_json(write_usage(info.usage)),
            }
            frame.run.note("step.discarded", info.address, body)
        return super()._failed(frame, info, error, said)

    @override
    def _asked_before(self, run: Run, address: str) -> Attempted | Suspended | None:
        before = super()._asked_before(run, address)
        left = self._left_in_doubt(run, address) if isinstance(before, Attempted) and self._shared else None
        if left is None or not isinstance(before, Attempted):
            return before
        # A person said that it took effect, in a process that died: it has cost what was set aside.
        info = StepInfo(run.id, address, left, (), StepEffects(run))
        hold = Hold(run, info, self._label, (), self._named(run), self._bound)
        hold.used = self._bound
        run.holds[address] = hold
        for account in self._accounts(run, address):
            account.settle(NOTHING, self._bound)
        return before._replace(usage=usage_from(self._bound))

    @staticmethod
    def _left_in_doubt(run: Run, address: str) -> int | None:
        """Return the attempt that is in doubt and was never settled; None where there is none."""
        notes, left = run.noted(address), None
        for note in notes:
            if note.kind == "step.reserved":
                left = note.body["attempt"]
            elif note.kind in _PARTS and "usage" in note.body:
                left = None
        doubted = any(note.kind == "request" and note.body["kind"] == "in_doubt" for note in notes)
        return left if doubted else None

    @override
    def _wait(self, run: Run, attempt: int, error: Exception) -> float | None:
        if isinstance(error, QuotaExceeded | OutOfTime):
            return None
        return super()._wait(run, attempt, error)

    @override
    def _discard(self, frame: Frame, info: StepInfo, why: str) -> None:
        run = frame.run
        hold = run.holds.get(info.address)
        if hold is not None and why == self.NEVER_BEGAN:
            hold.release()
            hold.record()
            del run.holds[info.address]
        elif not (run.given_up and why == self.GIVEN_UP and not info.usage):
            self._settle(run, info, unknown=why == self.GIVEN_UP)
        # Otherwise it stays set aside: the run goes on some time, with this attempt, or is ended.
        super()._discard(frame, info, why)

    def _settle(self, run: Run, info: StepInfo, *, unknown: bool) -> None:
        hold = run.holds.pop(info.address, None)
        if hold is not None:
            info.usage = hold.close(info.usage, unknown=unknown)
            hold.record()

    def recorded(self, run: Run, address: str) -> None:
        """Settle in the store what an attempt used whose output is about to be recorded."""
        hold = run.holds.pop(address, None)
        if hold is not None:
            hold.record()


async def settle_unknown(run: Run, frame: Frame) -> None:
    """Settle, at what was set aside, the attempts of a run that ends and whose own end is not known.

    What they cost is presumed to be spent, and recorded as used.
    """
    recorder = run.recorder
    assert recorder is not None
    await recorder.commit(sure=True)
    held: dict[str, dict[str, int]] = {}
    for one in await recorder.store.reservations(run.id):
        counted = held.setdefault(one.id, {})
        counted[one.meter] = max(one.amount, counted.get(one.meter, 0))
    for reservation, counted in held.items():
        address, _, attempt = reservation.rpartition("@")
        hold = run.holds.pop(address, None)
        if hold is not None and hold.id == reservation and hold.used is not None:
            counted = by_meter(hold.used)
        usage = usage_of(counted)
        body = {"attempt": int(attempt), "why": UNKNOWN, "usage": from_json(write_usage(usage))}
        run.note("step.discarded", address, body)
        recorder.settle(Settle(reservation, counted))
        frame.used(usage)

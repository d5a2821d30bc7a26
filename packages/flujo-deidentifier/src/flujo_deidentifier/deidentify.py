"""`Deidentify`: the step that takes personal data out of what it is given."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import date
from hashlib import sha256
from typing import Any, Generic, TypeVar

from flujo import PipelineContext, StepInfo
from flujo.errors import PipelineError
from flujo.governance import (
    Finding,
    GovernancePolicy,
    KnownValues,
    PIIEngine,
    PolicyContext,
    PolicyDecision,
    RuleEngine,
)
from flujo.governance.pii import Scrubber
from flujo.pipeline.policy import Point
from flujo_deidentifier.keys import Keys
from flujo_deidentifier.profiles import SAFE_HARBOR, Profile, profile_of
from flujo_deidentifier.scope import Scope, Standing, Subject
from flujo_deidentifier.treat import Treatment
from flujo_deidentifier.vault import Vault
from flujo_deidentifier.work import Deidentifying, Finder

T = TypeVar("T")
V = TypeVar("V")


class Deidentify(Generic[T]):
    """Takes personal data out of what it is given: the agent of a step.

    Strings, models, dataclasses, mappings and sequences come back as the same types. Put it first: what steps
    before it are given and give stands in the journal as it is, and so does the run's own input, unless it is
    a policy of the runner as well, or instead: see :meth:`at_the_door`.

    Args:
        kind: The type of what it is given, and gives.
        profile: What is done with which kind of personal data: a profile, or the name of one.
        keys: The keys that digests, surrogates, shifts and tokens are made with.
        vault: Where the values of random tokens are kept.
        scope: Within what equal values are treated equally: a run, a subject or a tenant.
        subject: Whom a value is about: the path of a field of the input, or of the context, or a function of
            both. Its dates are moved together.
        engine: What finds personal data; `RuleEngine()` when left out.
        known: Values known to be personal, besides those of marked fields of the input and the context.
        by_keys: Whether telling keys and names of fields count, such as ``patient_name``.
        depth: How deep values may be nested.
        today: The day that ages count from; the day that the run began when left out.
        day_first: Whether ``03/04/2025`` is the third of April.
        name: The step's name.

    Raises:
        PipelineError: The profile needs a vault, a subject, or is unknown.
    """

    def __init__(
        self,
        kind: type[T],
        profile: Profile | str = SAFE_HARBOR,
        *,
        keys: Keys,
        vault: Vault | None = None,
        scope: Scope = "run",
        subject: Subject | None = None,
        engine: PIIEngine | None = None,
        known: Mapping[str, Iterable[str]] | KnownValues | None = None,
        by_keys: bool = True,
        depth: int = 100,
        today: date | None = None,
        day_first: bool = False,
        name: str = "deidentify",
    ) -> None:
        self.profile = profile_of(profile)
        self._kind = kind
        self._keys = keys
        self._vault = vault
        self._standing = Standing(scope, subject, today)
        self._depth = depth
        self._day_first = day_first
        self.__name__ = name
        told = known if isinstance(known, KnownValues) else KnownValues(known)
        self._scrubber = Scrubber(Finder(engine or RuleEngine()), known=told, keys=by_keys, depth=depth)
        used = {self.profile.otherwise, *self.profile.strategies.values()}
        if "token" in used and vault is None:
            raise PipelineError(
                f"the profile {self.profile.name!r} needs a vault for its tokens",
                fix='pass vault=Vault.at("vault.db"), or use the strategy "encrypt"',
            )
        if "shift" in used and subject is None and scope == "tenant":
            raise PipelineError(
                f"the profile {self.profile.name!r} would move all dates of a tenant alike",
                fix="pass subject=, such as the path of a field: 'patient_id'",
            )

    @property
    def part_of_plan(self) -> str:
        """What a plan's fingerprint holds of it: what it does, and what tells its keys from others."""
        return (
            f"deidentify {self.profile.version} {self._standing.scope} {self._keys.anchor} {self._keys.check}"
        )

    @property
    def run(self) -> Callable[[T, StepInfo, PipelineContext], Coroutine[Any, Any, T]]:
        """What a step calls."""

        async def run(input: T, info: StepInfo, context: PipelineContext) -> T:
            return await self.answer(input, info, context)

        run.__annotations__ |= {"input": self._kind, "return": self._kind}
        return run

    async def answer(self, input: T, info: StepInfo, context: PipelineContext) -> T:
        """Return the input without personal data.

        Raises:
            ScrubError: It holds what cannot be looked into, or what cannot hold what would stand there.
            VaultError: The vault cannot be used.
        """
        clean, _ = await self.taken_out(input, context, run_id=info.run_id, tenant=info.principal.tenant)
        return clean

    def at_the_door(self, *, timeout: float = 60.0) -> "DeidentifiedEntry":
        """Return a policy for a runner that does the same with what enters its runs, before it is recorded.

        Args:
            timeout: How many seconds it may take for one value before it denies.
        """
        return DeidentifiedEntry(self, timeout)

    async def taken_out(
        self, value: V, context: PipelineContext, *, run_id: str, tenant: str
    ) -> tuple[V, list[Finding]]:
        """Return a value without personal data, and what was found in it.

        Args:
            value: The value.
            context: The context of the run: what its marked fields hold is found in the value.
            run_id: The run.
            tenant: On whose behalf it goes.

        Raises:
            ScrubError: It holds what cannot be looked into, or what cannot hold what would stand there.
            VaultError: The vault cannot be used.
        """
        place = self._standing.place(value, context, run_id=run_id, tenant=tenant)
        treatment = Treatment(self.profile, self._keys, place, day_first=self._day_first)
        known = self._scrubber.names_in(context)
        work = Deidentifying(self._scrubber, treatment, known, depth=self._depth)
        wanted = await asyncio.to_thread(work.survey, value)
        tokens: Mapping[tuple[str, str], str] = {}
        if wanted and self._vault is not None:
            tokens = await self._vault.tokens(self._keys, place.scope, wanted)
        return await asyncio.to_thread(work.finish, value, tokens)

    def __repr__(self) -> str:
        return f"Deidentify({self._kind.__name__}, {self.profile.name!r}, scope={self._standing.scope!r})"


class DeidentifiedEntry(GovernancePolicy):
    """Takes personal data out of what enters a run, before anything of it is written: see `at_the_door`.

    It judges where runs begin: their input, their context, what people answer, events, what a fork changes.
    """

    id = "deidentify"
    points: frozenset[Point] = frozenset({"agent_start"})

    def __init__(self, by: Deidentify[Any], timeout: float) -> None:
        self._by = by
        self.timeout = timeout
        self.version = sha256(by.part_of_plan.encode()).hexdigest()[:16]

    async def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        """Take personal data out of the input of a run."""
        return await self._judged(context, input_data)

    async def check_entry(self, context: PolicyContext, data: Any) -> PolicyDecision:
        """Take personal data out of what else enters it."""
        return await self._judged(context, data)

    async def _judged(self, context: PolicyContext, value: Any) -> PolicyDecision:
        clean, findings = await self._by.taken_out(
            value, context.context, run_id=context.run_id, tenant=context.tenant
        )
        if clean == value:
            return PolicyDecision.ALLOW
        counts = Counter(finding.entity for finding in findings)
        told = ", ".join(f"{count} {entity}" for entity, count in sorted(counts.items()))
        return PolicyDecision.redact(clean, f"personal data: {told}", rule=self._by.profile.name)

"""The policy that takes personal data out of what goes in, what comes out, and what tools are called with."""

from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from importlib.metadata import version
from typing import Any, Literal, TypeVar, cast

from flujo.errors import ConfigError
from flujo.governance.pii.finding import Finding, PIIEngine
from flujo.governance.pii.known import KnownValues
from flujo.governance.pii.messages import said, tied
from flujo.governance.pii.rules import RuleEngine
from flujo.governance.pii.scrub import Scrubber, Strategy
from flujo.governance.pii.stream import HOLD, StreamScrubber, scrub_chunks, scrub_chunks_async
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.policy import (
    EVERYWHERE,
    GovernancePolicy,
    Mode,
    PolicyContext,
    PolicyDecision,
    Verdict,
)

T = TypeVar("T")


class PIIScrubbingPolicy(GovernancePolicy):
    """Takes personal data out of values, whatever their shape, and of streams.

    Found are identifiers by their patterns, checksums and context, fields marked
    `Annotated[str, PII("name")]`, values of telling keys such as ``patient_name``, and every known value
    wherever it stands in free text.

    Args:
        engine: Finds personal data in texts; `RuleEngine()`, which needs no model, where it is left out.
        strategy: What stands for what was found: `label` writes ``[EMAIL]``, `mask` writes asterisks.
        known: Values known to be personal, by entity, as `{"name": ["María García"]}`.
        keys: Whether telling keys and names of fields count.
        depth: How deep values may be nested, JSON in strings included.
        timeout: How many seconds one judgement may take before it denies; a megabyte takes about two.
        context: What becomes of the context that a run begins with. ``"known"``: its fields that name
            personal values stay, since by them the values are found elsewhere, and are recorded; the others
            are scrubbed. ``"scrub"``: all of it is.
        mode: ``"observe"``: what it finds is recorded, by its kind, and goes on.

    Raises:
        ConfigError: The engine of rules is used and the extra `pii` is not installed.

    Example:
        >>> from flujo.governance.pii import PIIScrubbingPolicy
        >>> PIIScrubbingPolicy().scrub("Write to jane@example.com")[0]
        'Write to [EMAIL]'
    """

    def __init__(
        self,
        engine: PIIEngine | None = None,
        *,
        strategy: Strategy = "label",
        known: Mapping[str, Iterable[str]] | KnownValues | None = None,
        keys: bool = True,
        depth: int = 100,
        timeout: float = 60.0,
        context: Literal["known", "scrub"] = "known",
        mode: Mode = "enforce",
    ) -> None:
        self.timeout = timeout
        self.points = EVERYWHERE
        self.mode: Mode = mode
        if context not in ("known", "scrub"):
            raise ConfigError(f"PIIScrubbingPolicy(context={context!r})", fix='use "known" or "scrub"')
        self._keeps_known = context == "known"
        # What a decision is recorded with: the rules that came with this release, as they are set here.
        told_of = f"{version('flujo')} {type(engine).__qualname__} {strategy} {keys} {depth} {context}"
        self.version = sha256(told_of.encode()).hexdigest()[:16]
        told = known if isinstance(known, KnownValues) else KnownValues(known)
        self._scrubber = Scrubber(
            engine or RuleEngine(), strategy=strategy, known=told, keys=keys, depth=depth
        )

    def scrub(self, value: T, *, context: object = None) -> tuple[T, list[Finding]]:
        """Return a value without personal data, of the same types, and what was found in it.

        Args:
            value: A string, a number, a model, a dataclass, a mapping, a sequence, a history of messages.
            context: The context of a run: what its marked fields hold is found in the value.

        Raises:
            ScrubError: The value is nested too deep, or holds an object that cannot be looked into.
        """
        return self._scrubber.scrub(value, known=self._scrubber.names_in(context))

    def scrub_stream(
        self, chunks: Iterable[str], *, context: object = None, hold: int = HOLD
    ) -> Iterator[str]:
        """Yield a text that comes in pieces, without personal data, also where the end of a piece cuts it.

        Args:
            chunks: The pieces, however small.
            context: The context of a run, as for `scrub`.
            hold: How many characters are held back, to see what follows them.
        """
        return scrub_chunks(self._stream(context, hold), chunks)

    def scrub_stream_async(
        self, chunks: AsyncIterable[str], *, context: object = None, hold: int = HOLD
    ) -> AsyncIterator[str]:
        """Yield a text as `scrub_stream` does, as its pieces arrive."""
        return scrub_chunks_async(self._stream(context, hold), chunks)

    def check_input(self, context: PolicyContext, input_data: Any) -> PolicyDecision:
        """Take personal data out of what a step or a model is given."""
        return self._judged(input_data, context)

    def check_tool(
        self, tool_name: str, arguments: Mapping[str, Any], context: PolicyContext
    ) -> PolicyDecision:
        """Take personal data out of what a tool is called with."""
        return self._judged(arguments, context)

    def check_output(self, context: PolicyContext, output: Any) -> PolicyDecision:
        """Take personal data out of what a step, a tool or a model gives."""
        return self._judged(output, context)

    def check_entry(self, context: PolicyContext, data: Any) -> PolicyDecision:
        """Take personal data out of what else enters a run: its context, answers, events."""
        if not isinstance(data, PipelineContext) or not self._keeps_known:
            return self._judged(data, context)
        decision = self._judged(data, context)
        if decision.verdict is not Verdict.REDACT:
            return decision
        kept = {name: value for name, value in data if self._scrubber.tells(data, name)}
        clean = cast("PipelineContext", decision.data).model_copy(update=kept)
        return PolicyDecision.ALLOW if clean == data else replace(decision, data=clean)

    def redacted(self, value: Any, context: PolicyContext) -> tuple[Any, list[Finding]]:
        """Return what is judged without personal data, and what was found in it.

        The messages of a request to a model keep what ties them together: their ids and their moments.

        Raises:
            ScrubError: The value is nested too deep, or holds an object that cannot be looked into.
        """
        if context.point not in ("before_model", "after_model"):
            return self.scrub(value, context=context.context)
        clean, findings = self.scrub(said(value), context=context.context)
        return (tied(clean, value) if findings else value), findings

    def _judged(self, value: Any, context: PolicyContext) -> PolicyDecision:
        clean, findings = self.redacted(value, context)
        if not findings:
            return PolicyDecision.ALLOW
        counts = Counter(finding.entity for finding in findings)
        told = ", ".join(f"{count} {entity}" for entity, count in sorted(counts.items()))
        return PolicyDecision.redact(clean, f"personal data: {told}", rule="pii")

    def _stream(self, context: object, hold: int) -> StreamScrubber:
        return StreamScrubber(self._scrubber, known=self._scrubber.names_in(context), hold=hold)

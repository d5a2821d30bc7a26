"""The tree of errors.

    FlujoError
    ├── DefinitionError            the author's mistakes: raised before anything runs
    │   ├── PipelineError              a node was given settings that cannot work
    │   ├── PlanError                  the pipeline does not fit together; lists every problem
    │   ├── ConfigError                a setting or a target could not be understood
    │   └── InputError                 the input or context does not fit the pipeline
    ├── RunError                   a run's failures: what went wrong, where, on which attempt
    │   ├── StepFailed                 a step raised; the original is ``__cause__``
    │   │   ├── StepTimedOut               its time limit passed
    │   │   ├── OutputRejected             its validators rejected every attempt
    │   │   ├── MutationRefused            it may not change its pipeline so
    │   │   ├── QuotaExceeded              it asked for more than a quota has left
    │   │   ├── PolicyDenied               a policy denied what it was given, did or gave
    │   │   └── RecordError                its value could not be recorded as declared
    │   ├── LoopExhausted              a loop used its turns up
    │   ├── ContextConflict            two parallel branches wrote one field differently
    │   │   └── ReducerError               a field's reducer cannot combine what they wrote
    │   ├── RequestDenied              a person denied what was asked
    │   ├── WaitTimedOut              an awaited event did not come in time
    │   ├── ProviderUnavailable        a provider of models failed again and again; nothing is sent for now
    │   ├── AgentFailed                an agent came to no answer: none fitted, or it used its turns up
    │   ├── EffectDiverged             the code no longer asks for the recorded effect
    │   ├── HookFailed                 a hook raised
    │   └── RunCancelled               the run was cancelled
    ├── ResumeError                a run that cannot go on as asked
    │   ├── UnknownRun                 no run has this id
    │   ├── UnknownRequest             the run waits for no such request
    │   ├── UnknownAddress             the run never came to this address
    │   ├── AnswerRejected             the answer does not fit; the run stays paused
    │   ├── RunConflict                the id names a run with another input
    │   ├── RunBusy                    another process carries the run on
    │   ├── RunTaken                   another owner wrote to the run; this one stopped
    │   └── PlanChanged                the run was made by a different plan
    ├── ScrubError                 a value cannot be searched for personal data
    └── StoreError                 the journal's store failed
        ├── StoreUnavailable           locked, read-only, full or missing
        ├── StoreCorrupt               not a readable store
        ├── StoreVersionError          written by another version of Flujo
        └── ChainBroken                an event does not match its hash

Each error carries a stable ``code`` for machines and a ``fix`` that says what to do next.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar


class FlujoError(Exception):
    """Something went wrong in Flujo."""

    code: ClassVar[str] = "error"
    fix: str = ""

    def __init__(self, message: str = "", *, fix: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.fix = fix or type(self).fix
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\n  To fix: {self.fix}" if self.fix else self.message

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with every attribute, whatever the class is made from."""
        return type(self).__new__, (type(self), *self.args), self.__dict__


class DefinitionError(FlujoError):
    """The pipeline or its settings are wrong."""

    code = "definition"


class PipelineError(DefinitionError, ValueError):
    """A node was given settings that cannot work."""

    code = "pipeline"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a pipeline: where, what, and what to do."""

    address: str
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.address or '(pipeline)'}: {self.message}\n      To fix: {self.fix}"


class PlanError(DefinitionError):
    """The pipeline does not fit together."""

    code = "plan"

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {number}. {problem}" for number, problem in enumerate(self.problems, 1))
        many = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        super().__init__(f"the pipeline has {many}:\n{listed}")


class ConfigError(DefinitionError):
    """A setting or a target could not be understood."""

    code = "config"


class InputError(DefinitionError, ValueError):
    """The input or the context does not fit the pipeline."""

    code = "input"


class RunError(FlujoError):
    """The run failed."""

    code = "run"


class StepFailed(RunError):
    """A step failed.

    Attributes:
        step: The step's name.
        address: Where in the run it stood.
        attempt: The attempt that failed last, counted from 1.
    """

    code = "step_failed"

    def __init__(
        self, message: str = "", *, step: str, address: str, attempt: int = 1, fix: str = ""
    ) -> None:
        self.step = step
        self.address = address
        self.attempt = attempt
        super().__init__(f"step {address!r} (attempt {attempt}): {message or 'failed'}", fix=fix)


class StepTimedOut(StepFailed):
    """A step's time limit passed."""

    code = "step_timeout"


class OutputRejected(StepFailed):
    """A step's validators rejected every attempt."""

    code = "output_rejected"


class MutationRefused(StepFailed):
    """A step asked for a change of its pipeline that is not permitted, or does not fit."""

    code = "mutation_refused"


class QuotaExceeded(StepFailed):
    """A step asked for more than a quota has left.

    Nothing was sent, unless a step has reported more than it had reserved: then it is told after the fact.
    Amounts are in dollars for ``usd``, in seconds for ``seconds``, and counted otherwise.

    Attributes:
        meter: What there is not enough of: ``usd``, ``requests``, ``steps``, ….
        account: Where it is counted: ``run``, a part of the pipeline, or an account of the store.
        limit: What may be spent.
        spent: What was.
        reserved: What is set aside for work under way.
        asked: What was asked for.
    """

    code = "quota_exceeded"

    def __init__(
        self,
        message: str = "",
        *,
        step: str,
        address: str,
        attempt: int = 1,
        fix: str = "",
        meter: str = "",
        account: str = "",
        limit: Decimal | int = 0,
        spent: Decimal | int = 0,
        reserved: Decimal | int = 0,
        asked: Decimal | int = 0,
    ) -> None:
        self.meter = meter
        self.account = account
        self.limit = limit
        self.spent = spent
        self.reserved = reserved
        self.asked = asked
        super().__init__(message, step=step, address=address, attempt=attempt, fix=fix)
        if not address:  # a run that was not begun
            FlujoError.__init__(self, message, fix=fix)


class PolicyDenied(StepFailed):
    """A policy denied what a step was given, what it was about to do, or what it gave.

    Attributes:
        policy: The policy's id.
        rule: The id of the rule that decided; empty where the policy names none.
        reason: Why, in the policy's words.
        point: Where it judged: ``input``, ``before_tool``, ``output``, ….
        tool: The tool that was to be called; empty where none was.
    """

    code = "policy_denied"
    fix = "do what the rule asks for, ask whoever keeps the policy, or give the step on_denied="

    policy = rule = reason = point = tool = ""

    def __init__(
        self, message: str = "", *, step: str, address: str, attempt: int = 1, fix: str = "", **facts: str
    ) -> None:
        vars(self).update(facts)
        super().__init__(message, step=step, address=address, attempt=attempt, fix=fix)


class RecordError(StepFailed):
    """A value cannot be recorded and restored as its declared type."""

    code = "unrecordable"


class LoopExhausted(RunError):
    """A loop used all its turns before its condition held."""

    code = "loop_exhausted"


class ContextConflict(RunError):
    """Two parallel branches wrote one context field differently."""

    code = "context_conflict"


class ReducerError(ContextConflict, ValueError):
    """The branches' values cannot be combined by the field's reducer."""

    code = "reducer"


class RequestDenied(RunError):
    """A person denied what the run asked for."""

    code = "denied"


class WaitTimedOut(RunError):
    """An awaited event, or a person's answer, did not come in time."""

    code = "wait_timeout"


class ProviderUnavailable(RunError):
    """A provider of models failed again and again: for a while nothing is sent to it."""

    code = "provider_unavailable"


class AgentFailed(RunError):
    """An agent came to no answer."""

    code = "agent_failed"


class EffectDiverged(RunError):
    """The code no longer asks for the effect that was recorded here."""

    code = "diverged"


class HookFailed(RunError):
    """A hook raised."""

    code = "hook_failed"


class RunCancelled(RunError):
    """The run was cancelled."""

    code = "cancelled"


class ResumeError(FlujoError):
    """The run cannot go on as asked."""

    code = "resume"


class UnknownRun(ResumeError, LookupError):
    """No run has this id."""

    code = "unknown_run"
    fix = "list the runs with `flujo runs list`, and check which store is used"


class UnknownRequest(ResumeError, LookupError):
    """The run waits for no such request."""

    code = "unknown_request"
    fix = "list what is waiting with `flujo approvals list`"


class UnknownAddress(ResumeError, LookupError):
    """The run has no execution at this address."""

    code = "unknown_address"
    fix = "look at its addresses with `flujo runs show`"


class AnswerRejected(ResumeError, ValueError):
    """The answer does not fit what was asked; the run stays paused."""

    code = "answer_rejected"


class RunConflict(ResumeError):
    """This run id names a run with another input."""

    code = "run_conflict"
    fix = "use a new run id, or pass the input that the run began with"


class RunBusy(ResumeError):
    """Another process is carrying this run on."""

    code = "run_busy"
    fix = "wait for it to end, or stop that process first"


class RunTaken(ResumeError):
    """Another owner took this run over; this one stopped at its next write."""

    code = "run_taken"
    fix = "nothing is lost: read the run's result from the owner that carries it on"


class PlanChanged(ResumeError):
    """The run was made by a different plan.

    Attributes:
        addresses: The addresses that differ, in the order of the plan.
    """

    code = "plan_changed"

    def __init__(self, message: str = "", *, addresses: Sequence[str] = (), fix: str = "") -> None:
        self.addresses = tuple(addresses)
        super().__init__(message, fix=fix)


class ScrubError(FlujoError, ValueError):
    """A value cannot be searched for personal data."""

    code = "scrub"


class StoreError(FlujoError):
    """The journal's store failed."""

    code = "store"


class StoreUnavailable(StoreError):
    """The store cannot be read or written now: locked, read-only, full or missing."""

    code = "store_unavailable"


class StoreCorrupt(StoreError):
    """The file is not a readable store."""

    code = "store_corrupt"
    fix = "restore it from a backup; the damaged file is left as it is"


class StoreVersionError(StoreError):
    """The store was written by another version of Flujo."""

    code = "store_version"


class ChainBroken(StoreError):
    """An event does not match its hash: the journal was changed after it was written."""

    code = "chain_broken"
    fix = "do not resume this run; compare it with a backup by `flujo audit verify`"

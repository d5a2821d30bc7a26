"""Scores: how good something is, and the best of several."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import Any, Generic, Protocol, TypeVar, get_origin, runtime_checkable

from flujo.agents.marks import as_text
from flujo.agents.typed import Typed, free, glue, told, typed
from flujo.errors import RunError
from flujo.pipeline.checks import check_count
from flujo.pipeline.flow import SubPipeline
from flujo.pipeline.lanes import Failure, OnFailure, Parallel
from flujo.pipeline.node import Node, Pipeline, check_node
from flujo.plan.types import Type

T = TypeVar("T")
D = TypeVar("D")
C = TypeVar("C")


@runtime_checkable
class Scored(Protocol):
    """What carries a score, as a review does; higher is better."""

    @property
    def score(self) -> float:
        """How good it is."""
        ...


S = TypeVar("S", bound="float | Scored")


@dataclass(frozen=True, slots=True)
class Attempt(Generic[T, D]):
    """A draft with what it is for: a critique or a scorer that is annotated to take it sees both.

    Attributes:
        task: What was asked for.
        draft: What was written.
    """

    task: T
    draft: D


Seen = Node[D, C] | Node[Attempt[T, D], C]
"""A node that judges a draft, or a draft with its task."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[D]):
    """A draft and its score."""

    draft: D
    score: float


def best_of(
    n: int,
    generator: Node[T, D],
    scorer: Node[D, S] | Node[Attempt[T, D], S],
    *,
    takes: type[T] | None = None,
    on_failure: OnFailure = "cancel",
    name: str = "best_of",
) -> Node[T, D]:
    """Return a node that makes several drafts side by side, and gives the one with the highest score.

    Of two with one score it gives the first. Its addresses are ``best_of/drafts/0/draft/…`` and
    ``best_of/drafts/0/score/…``, and so on for each draft.

    Args:
        n: How many drafts.
        generator: Makes one.
        scorer: Gives a draft's score: a number, or what has a ``score``. It takes the draft; or an
            :class:`Attempt`, where that is what it is annotated to take.
        takes: The type of the task, where the generator does not declare what it takes.
        on_failure: What a draft that fails means: ``"cancel"`` fails them all; ``"collect"`` leaves it out,
            and fails where none is left.
        name: Its name in addresses.

    Raises:
        PipelineError: A setting cannot work.
    """
    check_count(n, "best_of, n")
    check_node(generator, "best_of, generator")
    check_node(scorer, "best_of, scorer")
    makes, judges = typed(generator, takes), typed(scorer)
    branch = _entrant(generator, scorer, makes, judges)

    def best(entries: Any) -> Any:
        return _best(name, entries)

    drafts: Node[Any, Any] = Parallel(*[branch] * n, name="drafts", on_failure=on_failure)
    return SubPipeline(drafts, output=told(best, {"return": makes.gives}), name=name)


def _entrant(
    generator: Node[Any, Any], scorer: Node[Any, Any], makes: Typed, judges: Typed
) -> Node[Any, Any]:
    """Return one branch: a draft, and then its score."""

    async def keep(task: Any) -> Any:
        return task

    async def scored(said: Any, draft: Any) -> Any:
        return _Entry(draft, score_of(said))

    def itself(task: Any) -> Any:
        return task

    drafted: Node[Any, Any] = SubPipeline(generator, name=free("draft", makes, judges))
    entry = {"said": judges.gives, "draft": makes.gives, "return": _Entry[makes.gives]}
    ended = glue("entry", told(scored, entry), draft=drafted)
    if not asks_for_task(judges):
        return Pipeline(drafted, *seen_by(scorer, judges, "score", drafted, makes, itself), ended)
    kept = glue(free("task", makes, judges), told(keep, {"task": makes.takes, "return": makes.takes}))
    return Pipeline(kept, drafted, *seen_by(scorer, judges, "score", kept, makes, itself), ended)


def _best(name: str, entries: tuple[_Entry[Any] | Failure, ...]) -> Any:
    ended = [entry for entry in entries if isinstance(entry, _Entry)]
    if not ended:
        failures = [entry.message for entry in entries if isinstance(entry, Failure)]
        raise RunError(
            f"{name}: all of {len(entries)} drafts failed; the first so: {failures[0]}",
            fix="see the others with `flujo runs show`",
        )
    return max(ended, key=lambda entry: entry.score).draft


def score_of(said: object) -> float:
    """Return the score of a judgement: the number that it is, or its ``score``.

    Raises:
        RunError: It has none.
    """
    score = said.score if isinstance(said, Scored) else said
    if not isinstance(score, int | float) or isnan(score):
        raise RunError(
            f"a {type(said).__name__} is no score: {as_text(said)[:80]}",
            fix="let it give a number, or a model with a field `score: float`",
        )
    return float(score)


def asks_for_task(judge: Typed) -> bool:
    """Say whether a node that judges takes an :class:`Attempt` rather than a draft."""
    return Attempt in (judge.takes, get_origin(judge.takes))


def seen_by(
    node: Node[Any, Any],
    judge: Typed,
    name: str,
    source: Node[Any, Any],
    writer: Typed,
    task_of: Callable[[Any], Any],
) -> tuple[Node[Any, Any], ...]:
    """Return the nodes that judge a draft: with its task, where that is asked for.

    Args:
        node: Judges.
        judge: What is known of it.
        name: What it is called in addresses.
        source: An earlier node that tells the task.
        writer: What is known of what makes the drafts.
        task_of: Gives the task from what that node gave.
    """
    reads: Node[Any, Any] = SubPipeline(node, name=name)
    if not asks_for_task(judge):
        return (reads,)

    async def attempt(draft: Any, source: Any) -> Any:
        return Attempt(task_of(source), draft)

    types: dict[str, Type] = {"draft": writer.gives, "return": Attempt[writer.takes, writer.gives]}
    return glue("attempt", told(attempt, types), source=source), reads

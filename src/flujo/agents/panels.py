"""Several agents on one question: they vote, or they argue before a judge."""

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, overload

from pydantic_core import to_jsonable_python

from flujo.agents.typed import Typed, free, glue, told, typed
from flujo.errors import PipelineError, RunError
from flujo.pipeline.checks import check_count, check_function, check_mapping
from flujo.pipeline.flow import Branch, Loop, SubPipeline
from flujo.pipeline.lanes import Failure, OnFailure, Parallel
from flujo.pipeline.node import Node, Pipeline, check_name, check_node
from flujo.plan.shapes import either
from flujo.plan.types import Type

T = TypeVar("T")
A = TypeVar("A")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Ballot(Generic[T, A]):
    """What several agents answered.

    Attributes:
        task: What they were asked.
        answers: Their answers, in the order of the agents; of those that failed there is none.
    """

    task: T
    answers: tuple[A, ...]


@dataclass(frozen=True, slots=True)
class _Vote(Generic[T, A]):
    """A ballot, and the answer that enough of them gave."""

    ballot: Ballot[T, A]
    agreed: bool = False
    answer: A | None = None


@dataclass(frozen=True, slots=True)
class Statement(Generic[A]):
    """What one side of a debate said in one round.

    Attributes:
        side: Which side.
        round: Which round, from 1.
        said: What it said.
    """

    side: str
    round: int
    said: A


@dataclass(frozen=True, slots=True)
class Debate(Generic[T, A]):
    """A debate so far: what its judge is given.

    Attributes:
        task: What it is about.
        statements: What was said: by round, and within one in the order of the sides.
    """

    task: T
    statements: tuple[Statement[A], ...] = ()


@dataclass(frozen=True, slots=True)
class DebateTurn(Generic[T, A]):
    """What a side of a debate is given when it is to speak.

    Attributes:
        side: Which side it is.
        round: Which round begins, from 1.
        task: What it is about.
        statements: What was said in the rounds before.
    """

    side: str
    round: int
    task: T
    statements: tuple[Statement[A], ...]


@overload
def consensus(
    agents: Sequence[Node[T, A]],
    *,
    agree: int | None = None,
    key: Callable[[A], Hashable] | None = None,
    takes: type[T] | None = None,
    on_failure: OnFailure = "cancel",
    name: str = "consensus",
) -> Node[T, A]: ...
@overload
def consensus(
    agents: Sequence[Node[T, A]],
    *,
    agree: int,
    judge: Node[Ballot[T, A], A],
    key: Callable[[A], Hashable] | None = None,
    takes: type[T] | None = None,
    on_failure: OnFailure = "cancel",
    name: str = "consensus",
) -> Node[T, A]: ...
@overload
def consensus(
    agents: Sequence[Node[T, A]],
    *,
    judge: Node[Ballot[T, A], V],
    takes: type[T] | None = None,
    on_failure: OnFailure = "cancel",
    name: str = "consensus",
) -> Node[T, V]: ...
def consensus(
    agents: Sequence[Node[Any, Any]],
    *,
    agree: int | None = None,
    judge: Node[Any, Any] | None = None,
    key: Callable[[Any], Hashable] | None = None,
    takes: Type | None = None,
    on_failure: OnFailure = "cancel",
    name: str = "consensus",
) -> Node[Any, Any]:
    """Return a node that asks several agents the same, side by side, and gives what they agree on.

    Their addresses are ``consensus/answers/0/…``, and so on.

    Args:
        agents: The nodes that answer.
        agree: How many must give one answer; more than half of them when left out. Where fewer do, the judge
            decides; without one the run fails.
        judge: Decides from a :class:`Ballot`: where not enough agree, or always, if ``agree`` is left out.
        key: Gives what two answers are compared by; when left out, they are compared whole.
        takes: The type of the task, where the first agent does not declare what it takes.
        on_failure: What an agent that fails means: ``"cancel"`` fails them all; ``"collect"`` leaves its
            answer out, and still counts it among those asked.
        name: Its name in addresses.

    Raises:
        PipelineError: A setting cannot work.
    """
    enough = _checked_panel(agents, agree, judge, key)
    asked = [typed(agent, takes) for agent in agents]
    task, answer = asked[0].takes, reduce(either, [one.gives for one in asked])
    ballot, vote = Ballot[task, answer], _Vote[task, answer]

    async def keep(task: Any) -> Any:
        return task

    async def collect(answers: Any, task: Any) -> Any:
        return Ballot(task, _given(answers))

    async def count(answers: Any, task: Any) -> Any:
        return _voted(Ballot(task, _given(answers)), enough, len(agents), key, judged=judge is not None)

    kept = glue(free("task", *asked), told(keep, {"task": task, "return": task}))
    answers: Node[Any, Any] = Parallel(*agents, name="answers", on_failure=on_failure)
    if judge is not None and agree is None:
        gathered = glue("ballot", told(collect, {"task": task, "return": ballot}), task=kept)
        decides: Node[Any, Any] = SubPipeline(judge, name="judge")
        return SubPipeline(Pipeline(kept, answers, gathered, decides), name=name)
    counted = glue("vote", told(count, {"task": task, "return": vote}), task=kept)
    return SubPipeline(Pipeline(kept, answers, counted, _decided(judge, ballot, vote, answer)), name=name)


def _checked_panel(agents: Sequence[Node[Any, Any]], agree: int | None, judge: object, key: object) -> int:
    """Refuse a panel that cannot work, and return how many of it must agree."""
    for index, agent in enumerate(agents):
        check_node(agent, f"consensus, agents[{index}]")
    if len(agents) < 2:
        raise PipelineError(f"consensus has {len(agents)} agents", fix="pass two or more in a list")
    if judge is not None:
        check_node(judge, "consensus, judge")
    if key is not None:
        check_function(key, "consensus, key")
    if agree is None:
        return len(agents) // 2 + 1
    check_count(agree, "consensus, agree")
    if agree > len(agents):
        raise PipelineError(
            f"consensus, agree={agree}: there are only {len(agents)} agents", fix="use their number, or less"
        )
    return agree


def _given(answers: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(answer for answer in answers if not isinstance(answer, Failure))


def _voted(
    ballot: Ballot[Any, Any],
    enough: int,
    asked: int,
    key: Callable[[Any], Hashable] | None,
    *,
    judged: bool,
) -> _Vote[Any, Any]:
    """Count the votes.

    Raises:
        RunError: Not enough agree, and there is no judge.
    """
    votes: list[tuple[Any, list[Any]]] = []
    for answer in ballot.answers:
        by = answer if key is None else key(answer)
        same = next((answers for other, answers in votes if _is_same(by, other)), None)
        if same is None:
            votes.append((by, [answer]))
        else:
            same.append(answer)
    most: list[Any] = max((answers for _, answers in votes), key=len, default=list[Any]())
    if len(most) >= enough:
        return _Vote(ballot, agreed=True, answer=most[0])
    if judged:
        return _Vote(ballot)
    counts = ", ".join(map(str, sorted((len(answers) for _, answers in votes), reverse=True)))
    raise RunError(
        f"no {enough} of {asked} agents agree: they split {counts or 'without an answer'}",
        fix="pass judge= a node that decides then, key= what answers are compared by, or a lower agree=",
    )


def _is_same(one: object, other: object) -> bool:
    """Say whether two answers are one: equal, as sets are in any order; or the same when written."""
    numbers = (int, float)  # and no bool, which equals a number
    if (type(one) is type(other) or (type(one) in numbers and type(other) in numbers)) and one == other:
        return True
    return _whole(one) == _whole(other)


def _whole(answer: object) -> str:
    return json.dumps(to_jsonable_python(answer, bytes_mode="base64"), sort_keys=True)


def _decided(judge: Node[Any, Any] | None, ballot: Type, vote: Type, answer: Type) -> Node[Any, Any]:
    """Return the node that gives the answer of a vote."""

    async def agreed(vote: _Vote[Any, Any]) -> Any:
        return vote.answer

    def disputed(vote: _Vote[Any, Any]) -> Any:
        return vote.ballot

    takes = glue("agreed", told(agreed, {"vote": vote, "return": answer}))
    if judge is None:
        return takes
    decides: Node[Any, Any] = SubPipeline(
        judge, input=told(disputed, {"vote": vote, "return": ballot}), name="judge"
    )
    return Branch(on=_outcome, cases={"agreed": takes, "disputed": decides}, name="outcome")


def _outcome(vote: _Vote[Any, Any]) -> Literal["agreed", "disputed"]:
    return "agreed" if vote.agreed else "disputed"


def debate(
    sides: Mapping[str, Node[DebateTurn[T, A], A]],
    judge: Node[Debate[T, A], V],
    *,
    rounds: int,
    takes: type[T] | None = None,
    name: str = "debate",
) -> Node[T, V]:
    """Return a node in which several sides argue about a task, and a judge decides.

    In each round every side speaks once, at the same time as the others, and knows what was said in the
    rounds before. Addresses: ``debate/round[1]/statements/0/pro/…``, ``debate/judge/…``.

    Args:
        sides: Who argues, by the name of the side.
        judge: Decides from the :class:`Debate`.
        rounds: How many rounds there are.
        takes: The type of the task, where no side declares it: ``DebateTurn[str, str]``.
        name: Its name in addresses.

    Raises:
        PipelineError: A setting cannot work.
    """
    check_count(rounds, "debate, rounds")
    check_mapping(sides, "debate, sides", 'sides={"pro": node, "con": node}')
    check_node(judge, "debate, judge")
    if len(sides) < 2:
        raise PipelineError(f"debate has {len(sides)} sides", fix="pass two or more")
    for side, node in sides.items():
        check_name(side, "debate, sides: ")
        check_node(node, f"debate, sides, {side}")
    speakers = {side: typed(node) for side, node in sides.items()}
    task = _task_of(list(speakers.values())) if takes is None else takes
    said = reduce(either, [one.gives for one in speakers.values()])
    state = Debate[task, said]

    def begin(task: Any) -> Debate[Any, Any]:
        return Debate(task)

    def over(debate: Debate[Any, Any]) -> bool:
        return debate.statements[-1].round >= rounds

    one = _round(sides, speakers, state, DebateTurn[task, said])
    loop: Node[Any, Any] = Loop(one, until=over, max_turns=rounds, name="round")
    decides: Node[Any, Any] = SubPipeline(judge, name="judge")
    return SubPipeline(Pipeline(loop, decides), input=told(begin, {"task": task, "return": state}), name=name)


def _round(
    sides: Mapping[str, Node[Any, Any]], speakers: Mapping[str, Typed], state: Type, turn: Type
) -> Node[Any, Any]:
    """Return one round: each side speaks, and what they said is added."""

    async def begin(debate: Any) -> Any:
        return debate

    async def end(said: Any, debate: Debate[Any, Any]) -> Any:
        new = (Statement(side, _next(debate), one) for side, one in zip(sides, said, strict=True))
        return replace(debate, statements=(*debate.statements, *new))

    def speaking(side: str) -> Callable[..., Any]:
        def given(debate: Debate[Any, Any]) -> Any:
            return DebateTurn(side, _next(debate), debate.task, debate.statements)

        return told(given, {"debate": state, "return": turn})

    begun = glue(free("debate", *speakers.values()), told(begin, {"debate": state, "return": state}))
    lanes = (SubPipeline(node, input=speaking(side), name=side) for side, node in sides.items())
    statements: Node[Any, Any] = Parallel(*lanes, name="statements")
    ended = glue("round", told(end, {"debate": state, "return": state}), debate=begun)
    return Pipeline(begun, statements, ended)


def _next(debate: Debate[Any, Any]) -> int:
    return debate.statements[-1].round + 1 if debate.statements else 1


def _task_of(speakers: Sequence[Typed]) -> Type:
    """Return the type of the task that a side declares: what its ``DebateTurn`` is of."""
    for speaker in speakers:
        if get_origin(speaker.takes) is DebateTurn:
            return get_args(speaker.takes)[0]
    return Any

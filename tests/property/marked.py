"""Random pipelines whose values carry marks in plain sight, so that it is seen where they come to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

from hypothesis import strategies as st
from pydantic import Field

from flujo import (
    Append,
    Branch,
    FlujoTool,
    HumanInput,
    Loop,
    Map,
    Max,
    Merge,
    Parallel,
    Pipeline,
    PipelineContext,
    Retry,
    Step,
    StepInfo,
    StreamingStep,
    SubPipeline,
    WaitForEvent,
)
from flujo.agents.calls import call_in_run, working
from flujo.agents.place import Place
from flujo.governance import PII, Declassify, Label

MARKS = ("pii.email", "pii.name", "phi", "untrusted")
CLEARANCES = ((), ("pii.*",), ("phi", "untrusted"), ("pii.name", "phi"), ("*",))


class Notes(PipelineContext):
    """Where steps leave what they were given, in the ways that a context may be changed."""

    said: Annotated[str, Max()] = ""
    log: Annotated[list[str], Append()] = Field(default_factory=list)
    seen: Annotated[dict[str, str], Merge()] = Field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What a node is to be.

    Attributes:
        kind: What it does.
        mark: The mark that it adds or takes away.
        cleared_for: For a sink: what it may be given.
        parts: What is inside it.
        k: Chooses between variants.
    """

    kind: str
    mark: str = ""
    cleared_for: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    k: int = 0


_PLAIN = (
    "same", "threaded", "retried", "constant", "write", "read", "named", "cached", "person", "event",
    "stream",
)  # fmt: skip
_SPEAKING = ("label", "tool", "typed", "clean", "event")
_AROUND = (
    "row", "tuple", "mapping", "map", "gather", "branch", "loop", "sub", "mapped", "fallback", "denied",
)  # fmt: skip
_leaves = st.one_of(
    st.builds(Part, st.sampled_from(_PLAIN), k=st.integers(0, 5)),
    st.builds(Part, st.sampled_from(_SPEAKING), st.sampled_from(MARKS)),
    st.builds(Part, st.sampled_from(("sink", "send")), cleared_for=st.sampled_from(CLEARANCES)),
)


def _several(inner: st.SearchStrategy[Part]) -> st.SearchStrategy[Part]:
    many = st.lists(inner, min_size=1, max_size=4).map(tuple)
    return st.builds(Part, st.sampled_from(_AROUND), parts=many, k=st.integers(0, 5))


parts = st.recursive(_leaves, _several, max_leaves=12)
rows = st.lists(parts, min_size=1, max_size=5).map(lambda inside: Part("row", parts=tuple(inside)))


@dataclass
class Marked:
    """Builds pipelines, and notes what reaches their sinks.

    Attributes:
        reached: What sinks were given: what they are cleared for, and the text.
    """

    reached: list[tuple[tuple[str, ...], str]] = field(default_factory=list[tuple[tuple[str, ...], str]])
    _count: int = 0

    def build(self, part: Part) -> Any:
        """Return the pipeline that a description stands for."""
        self._count = 0
        return self._node(part, [])

    def _name(self, part: Part) -> str:
        self._count += 1
        return f"{part.kind}{self._count}"

    def _node(self, part: Part, before: list[Any]) -> Any:
        """Return a node.

        Args:
            part: What it is to be.
            before: The nodes whose outputs it may name; those that later ones may are added.
        """
        match part.kind:
            case "row":
                return Pipeline(*(self._node(one, before) for one in part.parts))
            case "tuple" | "mapping" | "map" | "gather" | "branch" | "loop" | "sub" | "mapped":
                return self._around(part, before)
            case "fallback":
                aside = self._aside(part, before)
                return Step(self._fails, name=self._name(part), fallback=aside)
            case "denied":
                aside = self._aside(part, before)
                return Step(self._sink(()), name=self._name(part), cleared_for=[], on_denied=aside)
            case _:
                node: Any = self._leaf(part, before)
                if part.kind not in ("person", "event", "stream"):
                    before.append(node)
                return node

    def _aside(self, part: Part, before: list[Any]) -> Any:
        return Pipeline(*(self._node(one, list(before)) for one in part.parts))

    def _around(self, part: Part, before: list[Any]) -> Any:
        name, inside = self._name(part), self._aside
        match part.kind:
            case "tuple" | "mapping":
                known = [list(before) for _ in part.parts]
                several = [self._node(one, seen) for one, seen in zip(part.parts, known, strict=True)]
                before += [node for seen in known for node in seen[len(before) :]]
                lanes: Any = (
                    Parallel(*several, name=name)
                    if part.kind == "tuple"
                    else Parallel(name=name, **{f"b{at}": one for at, one in enumerate(several)})
                )
                return lanes >> Step(_joined, name=f"{name}-join")
            case "map":
                over = _split if part.k % 2 else _split_and_say
                return Map(inside(part, before), over=over, name=name) >> Step(_joined, name=f"{name}-join")
            case "gather":
                split = Step(_listed, name=f"{name}-split")
                body = Map(inside(part, before), name=name, concurrency=part.k % 3 + 1)
                return split >> body >> Step(_joined, name=f"{name}-join")
            case "branch":
                cases = {str(at): self._node(one, list(before)) for at, one in enumerate(part.parts)}
                choose = _choose_and_say if part.k % 2 else _choose
                return Branch(on=choose(len(cases)), cases=cases, name=name)
            case "loop":
                until = _until_and_say if part.k % 2 else _until
                body, turns = inside(part, before), part.k % 3 + 1
                return Loop(body, until=until, max_turns=turns, on_exhausted="return", name=name)
            case "sub":
                return SubPipeline(Pipeline(*(self._node(one, before) for one in part.parts)), name=name)
            case _:
                return SubPipeline(inside(part, before), input=_with_said, output=_with_said, name=name)

    def _leaf(self, part: Part, before: Sequence[Any]) -> Any:
        name, mark = self._name(part), part.mark
        match part.kind:
            case "threaded":
                return Step(_threaded, name=name)
            case "retried":
                return Step(self._flaky(), name=name, retry=Retry(2, 0.0))
            case "constant":
                return Step(_constant, name=name)
            case "write":
                return Step((_assigns, _appends, _notes)[part.k % 3], name=name)
            case "read":
                return Step(_reads, name=name)
            case "named" if before:
                return Step(_named, name=name, inputs={"other": before[part.k % len(before)].output})
            case "cached":
                return Step(_same, name=name, cache=True)
            case "person":
                return HumanInput("Good?", schema=str, name=name)
            case "event":
                return WaitForEvent(name, schema=str, name=name)
            case "stream":
                return Pipeline(
                    StreamingStep(_streams, name=name),
                    StreamingStep(_streams_on, name=f"{name}-on"),
                )
            case "label":
                return Step(_adds(mark), name=name, labels=[mark])
            case "typed":
                return Step(TYPED[mark], name=name)
            case "tool":
                tool = FlujoTool(_adds(mark), name="look", labels=frozenset({mark, "egress"}))
                return Step(_uses(tool), name=name)
            case "clean":
                return Step(_drops(mark), name=name, declassifies=Declassify(mark, reason="dropped"))
            case "sink":
                sink, refused = self._sink(part.cleared_for), Step(_constant, name="refused")
                return Step(sink, name=name, cleared_for=part.cleared_for, on_denied=refused)
            case "send":
                tool = FlujoTool(self._sink(part.cleared_for), name="send", cleared_for=part.cleared_for)
                return Step(_uses(tool), name=name, on_denied=Step(_constant, name="refused"))
            case _:
                return Step(_same, name=name)

    def _sink(self, cleared_for: tuple[str, ...]) -> Callable[..., Any]:
        async def sink(text: str) -> str:
            self.reached.append((cleared_for, text))
            return text

        return sink

    async def _fails(self, text: str) -> str:
        raise ValueError("it fails")

    def _flaky(self) -> Callable[..., Any]:
        tries: list[str] = []

        async def flaky(text: str) -> str:
            tries.append(text)
            if len(tries) % 2:
                raise ValueError("not yet")
            return text

        return flaky


async def _same(text: str) -> str:
    return text


def _threaded(text: str) -> str:
    return text


async def _constant(text: str) -> str:
    return "nothing"


async def _named(text: str, other: str) -> str:
    return f"{text} {other}"


async def _assigns(text: str, notes: Notes) -> str:
    notes.said = text
    return "noted"


async def _appends(text: str, notes: Notes) -> str:
    notes.log.append(text)
    return "noted"


async def _notes(text: str, notes: Notes) -> str:
    notes.seen[text] = text
    return "noted"


async def _reads(text: str, notes: Notes) -> str:
    return " ".join([text, notes.said, *notes.log, *notes.seen])


def _adds(mark: str) -> Callable[..., Any]:
    async def adds(text: str) -> str:
        return f"{text} {mark}"

    return adds


def _drops(mark: str) -> Callable[..., Any]:
    async def drops(text: str) -> str:
        return " ".join(word for word in text.split() if word != mark)

    return drops


async def _typed_email(text: str) -> Annotated[str, PII("email")]:
    return f"{text} pii.email"


async def _typed_name(text: str) -> Annotated[str, PII("name")]:
    return f"{text} pii.name"


async def _typed_phi(text: str) -> Annotated[str, Label("phi")]:
    return f"{text} phi"


async def _typed_untrusted(text: str) -> Annotated[str, Label("untrusted")]:
    return f"{text} untrusted"


TYPED: Mapping[str, Callable[..., Any]] = {
    "pii.email": _typed_email,
    "pii.name": _typed_name,
    "phi": _typed_phi,
    "untrusted": _typed_untrusted,
}


def _uses(tool: FlujoTool) -> Callable[..., Any]:
    """Return what calls a tool, as the agents of other layers do."""

    async def uses(text: str, info: StepInfo) -> str:
        with working(Place(info, PipelineContext())):
            return await call_in_run(tool, {"text": text})

    return uses


async def _streams(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield f"{word} "


async def _streams_on(words: AsyncIterator[str]) -> AsyncIterator[str]:
    async for word in words:
        yield word


async def _joined(several: Iterable[str] | Mapping[str, str]) -> str:
    texts = cast("Mapping[str, str]", several).values() if isinstance(several, Mapping) else several
    return " ".join(texts)


async def _listed(text: str) -> list[str]:
    return text.split()


def _split(text: str) -> list[str]:
    return text.split()


def _split_and_say(text: str, notes: Notes) -> list[str]:
    words = " ".join([text, *notes.log]).split()
    notes.log.append(text)
    return words[:4]


def _choose(many: int) -> Callable[..., Any]:
    def choose(text: str) -> str:
        return str(len(text) % many)

    return choose


def _choose_and_say(many: int) -> Callable[..., Any]:
    def choose(text: str, notes: Notes) -> str:
        notes.log.append(text)
        return str(len(text) % many)

    return choose


def _until(text: str) -> bool:
    return len(text) % 3 == 0


def _until_and_say(text: str, notes: Notes) -> bool:
    notes.log.append(text)
    return len(text) % 3 == 0


def _with_said(text: str, notes: Notes) -> str:
    read = " ".join([text, *notes.log[-1:]])
    notes.log.append(text)
    return read

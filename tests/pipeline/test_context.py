"""A context is an ordinary model; in a run it notes what it hands out, and views are independent of it."""

# ruff: noqa: RUF012 (a model copies its defaults)

import copy
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cached_property
from threading import Lock
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, PrivateAttr, ValidationError, computed_field, field_validator, model_validator

from flujo.errors import ReducerError
from flujo.pipeline.context import (
    PipelineContext,
    begin_watch,
    clone,
    fork,
    watch_of,
    watched_fields,
)
from flujo.pipeline.reducers import Add, Append, Last, Max, Merge, Min, Reducer

T = TypeVar("T")


def touched(context: PipelineContext) -> set[str]:
    """Return the fields that were touched since the context began to be watched."""
    watch = watch_of(context)
    return set() if watch is None else set(watch.touched)


class Mood(Enum):
    CALM = 1


class Note(BaseModel):
    text: str
    tags: list[str] = []


class Review(PipelineContext):
    count: int = 0
    title: str | None = None
    due: date | None = None
    total: Decimal = Decimal(0)
    mood: Mood = Mood.CALM
    kind: Literal["a", "b"] = "a"
    pair: tuple[int, str] = (0, "")
    findings: Annotated[list[str], Append()] = []
    notes: dict[str, Note] = {}
    latest: Note | None = None
    _client: object = PrivateAttr(default=None)

    @computed_field
    @property
    def double(self) -> int:
        return self.count * 2

    @cached_property
    def shout(self) -> str:
        return (self.title or "").upper()

    @field_validator("count")
    @classmethod
    def not_negative(cls, value: int) -> int:
        if value < 0:
            raise ValueError("count must not be negative")
        return value

    def find(self, what: str) -> None:
        self.findings.append(what)

    def connect(self, client: object) -> None:
        self._client = client

    @property
    def client(self) -> object:
        return self._client


def watched() -> Review:
    context = Review(findings=["one"], notes={"a": Note(text="x")}, scratchpad={"k": [1]})
    begin_watch(context)
    return context


def test_only_fields_that_may_change_in_place_are_watched() -> None:
    assert watched_fields(Review) == {"scratchpad", "findings", "notes", "latest"}


def test_reading_immutable_values_touches_nothing() -> None:
    context = watched()
    assert (context.count, context.title, context.due, context.total) == (0, None, None, Decimal(0))
    assert (context.mood, context.kind, context.pair, context.double) == (Mood.CALM, "a", (0, ""), 0)
    assert context.latest is None
    assert touched(context) == set()


def test_reading_a_mutable_value_or_assigning_touches_its_field() -> None:
    context = watched()
    assert context.findings == ["one"]
    context.count = 2
    assert touched(context) == {"findings", "count"}
    begin_watch(context)
    assert touched(context) == set()
    context.find("two")
    assert touched(context) == {"findings"}


def test_a_context_that_no_run_uses_notes_nothing() -> None:
    context = Review()
    context.findings.append("x")
    context.count = 1
    assert touched(context) == set()
    begin_watch(context)


def shallow(context: Review) -> Review:
    return context.model_copy()


HAND_OUT: list[Callable[[Any], object]] = [dict, list, copy.copy, shallow]


@pytest.mark.parametrize("hand_out", HAND_OUT)
def test_whatever_hands_out_all_values_touches_all(hand_out: Callable[[Any], object]) -> None:
    context = watched()
    hand_out(context)
    assert touched(context) == {"scratchpad", "findings", "notes"}


def test_a_context_is_an_ordinary_model() -> None:
    context = watched()
    twin = Review(findings=["one"], notes={"a": Note(text="x")}, scratchpad={"k": [1]})
    assert context == twin
    assert context.model_dump() == twin.model_dump()
    assert context.model_dump(include={"count", "double"}) == {"count": 0, "double": 0}
    assert Review.model_validate_json(context.model_dump_json(exclude={"double"})) == twin
    assert repr(context) == repr(twin)
    assert "findings" in Review.model_json_schema()["properties"]
    assert context.model_fields_set == {"findings", "notes", "scratchpad"}
    assert copy.deepcopy(context) == context
    assert copy.deepcopy(context).findings is not context.findings
    assert context.model_copy(update={"count": 3}).count == 3


def test_assignments_are_validated_and_unknown_fields_refused() -> None:
    context = watched()
    with pytest.raises(ValidationError, match="must not be negative"):
        context.count = -1
    with pytest.raises(ValidationError):
        context.findings = "text"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="nothing"):
        context.nothing = 1  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValidationError):
        Review(nothing=1)  # pyright: ignore[reportCallIssue]
    assert context == watched()


def test_a_field_cannot_be_deleted() -> None:
    context = watched()
    for name in ("count", "findings"):
        with pytest.raises(AttributeError, match="set it to None or an empty value"):
            delattr(context, name)


def test_private_attributes_are_shared_with_views_and_touch_no_field() -> None:
    context, client = Review(), object()
    context.connect(client)
    view = fork(context)
    assert view.client is client
    view.connect(None)
    assert context.client is client


def test_a_missing_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        watched().nothing  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    with pytest.raises(AttributeError):
        Review.findings  # noqa: B018
    empty = Review.model_construct()
    del vars(empty)["findings"]
    with pytest.raises(AttributeError, match="no attribute 'findings'"):
        empty.findings  # noqa: B018


def test_subclasses_may_redeclare_and_add_fields() -> None:
    class Wider(Review):
        findings: Annotated[list[str], Append()] = ["start"]
        latest: Note | None = Note(text="y")
        more: set[str] = set()

    class Other(Wider):
        count: int = 5

    assert watched_fields(Other) == {"scratchpad", "findings", "notes", "latest", "more"}
    assert Other().findings == ["start"]
    assert Other().count == 5
    assert Wider.model_fields["findings"].default == ["start"]
    context = Other()
    begin_watch(context)
    context.more.add("x")
    assert touched(context) == {"more"}


def test_generic_contexts_are_watched() -> None:
    class Box(PipelineContext, Generic[T]):
        content: T
        parts: list[T] = []

    context = Box[int](content=1)
    begin_watch(context)
    context.parts.append(2)
    assert touched(context) == {"parts"}
    assert watched_fields(Box[int]) == {"scratchpad", "parts"}
    assert fork(context) == context


def test_forward_references_are_watched() -> None:
    class Late(PipelineContext):
        nodes: "list[Node]" = []

    class Node(BaseModel):
        name: str

    Late.model_rebuild(_types_namespace={"Node": Node})
    context = Late(nodes=[Node(name="a")])
    begin_watch(context)
    assert context.nodes[0].name == "a"
    assert touched(context) == {"nodes"}


def test_a_validator_may_change_other_fields() -> None:
    class Sum(PipelineContext):
        parts: list[int] = []
        total: int = 0

        @model_validator(mode="after")
        def add(self) -> "Sum":
            object.__setattr__(self, "total", sum(self.parts))
            return self

    context = Sum()
    begin_watch(context)
    context.parts = [1, 2]
    assert context.total == 3


def test_a_view_is_independent_both_ways() -> None:
    parent = watched()
    one, two = fork(parent), fork(parent)
    assert one == two == parent
    one.findings.append("a")
    one.notes["a"].text = "changed"
    one.scratchpad["k"].append(2)
    one.count = 7
    assert two == parent == watched()
    two.notes["b"] = Note(text="z")
    assert "b" not in one.notes
    assert "b" not in parent.notes


def test_views_nest() -> None:
    outer = fork(watched())
    inner = fork(outer)
    inner.findings.append("inner")
    assert outer.findings == ["one"]
    outer.findings.append("outer")
    deeper = fork(outer)
    deeper.findings.append("deeper")
    assert outer.findings == ["one", "outer"]
    assert inner.findings == ["one", "inner"]


def test_a_view_copies_only_what_it_hands_out() -> None:
    parent = watched()
    view = fork(parent)
    assert vars(view)["findings"] is vars(parent)["findings"]
    first = view.findings
    assert view.findings is first
    assert vars(view)["notes"] is vars(parent)["notes"]
    assert touched(view) == {"findings"}


def test_what_a_view_was_given_stays_its_own() -> None:
    view = fork(watched())
    view.findings = ["new"]
    kept = view.findings
    begin_watch(view)
    assert view.findings is kept


def test_a_view_computes_its_own_cached_properties() -> None:
    parent = Review(title="a")
    assert parent.shout == "A"
    view = fork(parent)
    view.title = "b"
    assert view.shout == "B"
    assert parent.shout == "A"


def test_clone_copies_deeply_and_follows_cycles() -> None:
    value: dict[str, Any] = {"a": [1, {"b": (2, [3])}], "c": Note(text="x", tags=["t"])}
    twin: Any = clone(value)
    assert twin == value
    assert twin["a"][1]["b"][1] is not value["a"][1]["b"][1]
    assert twin["c"].tags is not value["c"].tags
    loop: list[Any] = []
    loop.append(loop)
    again: Any = clone(loop)
    assert again[0] is again


def test_what_cannot_be_copied_is_shared_between_views() -> None:
    class Wired(PipelineContext):
        model_config = {"arbitrary_types_allowed": True}
        lock: Any
        plain: list[object] = []

    context = Wired(lock=Lock(), plain=[Lock(), [1]])
    view = fork(context)
    assert view.lock is context.lock
    assert view.plain[0] is context.plain[0]
    assert view.plain[1] is not context.plain[1]


@pytest.mark.parametrize(
    ("reducer", "base", "branches", "result"),
    [
        (Append(), ["a"], [["a", "b"], ["a", "c", "d"]], ["a", "b", "c", "d"]),
        (Append(), None, [["b"], None, ["c"]], ["b", "c"]),
        (Merge(), {"a": 1, "b": 2}, [{"a": 1, "b": 3}, {"a": 1, "c": 4}], {"a": 1, "b": 3, "c": 4}),
        (Merge(), {"a": 1, "b": 2}, [{"a": 1}, {"a": 5}], {"a": 5}),
        (Merge(), {"a": 1}, [{}, {"a": 2}], {"a": 2}),
        (Merge(), None, [{"a": 1}], {"a": 1}),
        (Add(), 10, [12, 15], 17),
        (Add(), Decimal("1.5"), [Decimal("2.0")], Decimal("2.0")),
        (Max(), 3, [5, 4], 5),
        (Max(), None, [5, 4], 5),
        (Min(), 3, [5, 4], 3),
        (Last(), 3, [5, 4], 4),
        (Last(), 3, [], 3),
    ],
)
def test_reducers_combine_in_declared_order(
    reducer: Reducer, base: Any, branches: list[Any], result: Any
) -> None:
    assert reducer.combine(base, branches) == result


def test_append_refuses_a_branch_that_changed_what_was_there() -> None:
    for changed in (["x", "b"], []):
        with pytest.raises(ReducerError, match="branches that only append"):
            Append().combine(["a"], [["a", "b"], changed])


def test_reducers_leave_their_arguments_alone() -> None:
    base, branch = ["a"], ["a", "b"]
    assert Append().combine(base, [branch, branch]) == ["a", "b", "b"]
    assert (base, branch) == (["a"], ["a", "b"])

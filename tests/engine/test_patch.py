"""Patches hold what changed and nothing else, and applying them gives the context that was."""

# ruff: noqa: RUF012 (a model copies its defaults)

import copy
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PrivateAttr, SecretStr
from pydantic_core import from_json

from flujo.engine.patch import Summary, Tracker, apply, compose, restore, snapshot
from flujo.errors import PlanChanged
from flujo.pipeline.context import PipelineContext, fork, watch_of
from flujo.pipeline.reducers import Append
from flujo.plan.fields import check_context
from flujo.plan.same import difference
from flujo.plan.unrecordable import Unrecordable


def touched(context: PipelineContext) -> set[str]:
    """Return the fields that were touched since the context began to be watched."""
    watch = watch_of(context)
    return set() if watch is None else set(watch.touched)


class Note(BaseModel):
    text: str
    tags: list[str] = []


class Live(PipelineContext):
    count: int = 0
    title: str | None = None
    total: Decimal = Decimal(0)
    due: date | int | None = None
    log: Annotated[list[str], Append()] = []
    rows: list[dict[str, int]] | None = None
    notes: list[Note] = []
    mixed: list[int | Decimal] = []
    ages: dict[str, int] = {}
    people: dict[str, Note] = {}
    prices: dict[str, Decimal] = {}
    tags: set[str] = set()
    latest: Note | None = None
    by_number: dict[int, str] = {}


Change = Callable[[Live], None]


def patch_of(tracker: Tracker) -> Any:
    patch = tracker.diff()
    return None if patch is None else from_json(patch)


def same(one: PipelineContext, other: PipelineContext) -> bool:
    return one == other and all(
        name == "scratchpad" or difference(value, vars(other)[name]) is None
        for name, value in vars(one).items()
    )


# What a patch holds


def test_nothing_changed_is_no_patch() -> None:
    context = Live(log=["a"], scratchpad={"k": [1]})
    tracker = Tracker(context)
    assert tracker.diff() is None
    assert context.log == ["a"]
    assert context.scratchpad == {"k": [1]}
    context.count = 0
    context.log = ["a"]
    assert tracker.diff() is None
    assert touched(context) == set()


def test_an_assigned_field_is_set() -> None:
    context = Live()
    tracker = Tracker(context)
    context.count, context.total, context.due = 2, Decimal("1.50"), date(2026, 1, 2)
    assert patch_of(tracker) == {"count": {"set": 2}, "total": {"set": "1.50"}, "due": {"set": "2026-01-02"}}
    assert tracker.diff() is None


def test_an_equal_value_of_another_kind_is_a_change() -> None:
    context = Live(total=Decimal("1.0"), due=1, scratchpad={"n": 1})
    tracker = Tracker(context)
    context.total = Decimal("1.00")
    context.scratchpad["n"] = True
    assert patch_of(tracker) == {"scratchpad": {"keys": {"n": True}}, "total": {"set": "1.00"}}


def test_an_equal_number_of_another_kind_deep_inside_is_seen_by_a_sweep() -> None:
    context = Live(scratchpad={"deep": {"n": [1]}}, rows=[{"a": 1}])
    tracker = Tracker(context)
    assert context.rows
    context.rows[0]["a"] = True
    context.scratchpad["deep"]["n"][0] = 1.0
    assert tracker.diff() is None
    patch = tracker.diff(sweep=True)
    assert patch == b'{"scratchpad":{"keys":{"deep":{"n":[1.0]}}}}'


def test_a_dict_is_changed_by_its_keys() -> None:
    context = Live(scratchpad={"big": "x" * 1000, "list": [1], "old": 1})
    tracker = Tracker(context)
    context.scratchpad["new"] = {"a": None}
    del context.scratchpad["old"]
    assert patch_of(tracker) == {"scratchpad": {"keys": {"new": {"a": None}}, "gone": ["old"]}}
    context.scratchpad["list"].append(2)
    assert patch_of(tracker) == {"scratchpad": {"keys": {"list": [1, 2]}}}
    context.scratchpad.clear()
    assert patch_of(tracker) == {"scratchpad": {"set": {}}}
    context.scratchpad = {"a": 1}
    assert patch_of(tracker) == {"scratchpad": {"keys": {"a": 1}}}


def test_members_of_declared_types_are_changed_by_their_keys() -> None:
    context = Live(people={"a": Note(text="a"), "b": Note(text="b")}, prices={"x": Decimal(1)})
    tracker = Tracker(context)
    context.people["b"].tags.append("t")
    context.prices["x"] = Decimal("1.0")
    context.prices["y"] = Decimal(2)
    assert patch_of(tracker) == {
        "people": {"keys": {"b": {"text": "b", "tags": ["t"]}}},
        "prices": {"keys": {"x": "1.0", "y": "2"}},
    }


@pytest.mark.parametrize(
    ("name", "start", "added", "written"),
    [
        ("log", ["a"], "b", "b"),
        ("log", [], "b", "b"),
        ("rows", [{"a": 1}], {"b": 2}, {"b": 2}),
        ("notes", [Note(text="a")], Note(text="b"), {"text": "b", "tags": []}),
        ("notes", [], Note(text="b"), {"text": "b", "tags": []}),
        ("mixed", [1, Decimal("1.5")], Decimal("2.5"), "2.5"),
        ("mixed", [1], 12, 12),
    ],
)
def test_a_list_is_changed_by_its_end(name: str, start: list[Any], added: Any, written: Any) -> None:
    context = Live.model_validate({name: start})
    tracker = Tracker(context)
    getattr(context, name).append(added)
    assert patch_of(tracker) == {name: {"append": [written]}}
    setattr(context, name, [*getattr(context, name), added])
    assert patch_of(tracker) == {name: {"append": [written]}}
    getattr(context, name).pop(0)
    assert set(patch_of(tracker)[name]) == {"set"}


def test_other_values_are_written_whole() -> None:
    context = Live(tags={"a"}, latest=Note(text="a"), by_number={1: "a"}, rows=[])
    tracker = Tracker(context)
    assert context.tags
    assert context.latest
    assert tracker.diff() is None
    context.tags.add("b")
    context.latest.tags.append("t")
    context.by_number[2] = "b"
    context.rows = None
    patch = patch_of(tracker)
    assert sorted(patch["tags"].pop("set")) == ["a", "b"]
    assert patch == {
        "rows": {"set": None},
        "tags": {},
        "latest": {"set": {"text": "a", "tags": ["t"]}},
        "by_number": {"set": {"1": "a", "2": "b"}},
    }


def test_values_that_were_not_touched_are_not_looked_at() -> None:
    class Loud(BaseModel):
        compared: int = 0

        def __eq__(self, other: object) -> bool:
            raise AssertionError("looked at")

        def __hash__(self) -> int:
            return 0

    class Holds(PipelineContext):
        loud: Loud = Loud()
        count: int = 0

    context = Holds()
    tracker = Tracker(context)
    context.count = 1
    context.scratchpad["a"] = 1
    assert patch_of(tracker) == {"count": {"set": 1}, "scratchpad": {"keys": {"a": 1}}}


def test_assignments_behind_the_back_are_seen() -> None:
    context = Live()
    tracker = Tracker(context)
    vars(context)["count"] = 3
    object.__setattr__(context, "log", ["x"])
    assert patch_of(tracker) == {"count": {"set": 3}, "log": {"set": ["x"]}}


def test_a_part_that_would_not_be_written_is_noticed() -> None:
    class Hiding(BaseModel):
        shown: int = 1
        hidden: int = Field(default=2, exclude=True)

    class Holds(PipelineContext):
        one: Hiding = Hiding()
        many: list[Hiding] = []

    context = Holds(many=[Hiding()])
    tracker = Tracker(context)
    context.one.hidden = 3
    with pytest.raises(Unrecordable, match=r"field 'one': .* at \.hidden it changes its value"):
        tracker.diff()
    context.one.hidden = 2
    context.many[0].hidden = 3
    with pytest.raises(Unrecordable, match=r"field 'many': .* at \[0\]\.hidden it changes its value"):
        tracker.diff()


def test_a_kept_list_is_seen_by_a_sweep() -> None:
    context = Live(log=["a"])
    tracker = Tracker(context)
    kept = context.log
    assert tracker.diff() is None
    kept.append("b")
    assert tracker.diff() is None
    assert tracker.diff(sweep=True) == b'{"log":{"append":["b"]}}'
    assert tracker.diff(sweep=True) is None


def test_a_failed_diff_counts_nothing_as_recorded() -> None:
    context = Live(log=["a"])
    tracker = Tracker(context)
    context.count = 1
    context.log.append("b")
    context.scratchpad["bad"] = {1, 2}
    for _ in range(2):
        with pytest.raises(Unrecordable, match="scratchpad"):
            tracker.diff()
    del context.scratchpad["bad"]
    patch = tracker.diff()
    assert patch is not None
    start = Live(log=["a"])
    apply(start, patch)
    assert start == context


def test_a_view_is_tracked_from_where_it_was_forked() -> None:
    parent = Live(log=["a"], scratchpad={"k": {"n": 1}})
    Tracker(parent)
    parent.log.append("b")
    view = fork(parent)
    tracker = Tracker(view)
    view.log.append("c")
    view.scratchpad["k"]["n"] = 2
    assert patch_of(tracker) == {"log": {"append": ["c"]}, "scratchpad": {"keys": {"k": {"n": 2}}}}


# What cannot be recorded


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1}, "key 'bad': a value without a declared type must be JSON, and it is of type 'set'"),
        (
            {"a": (1,)},
            "key 'bad': a value without a declared type must be JSON, and at ['a'] it is of type 'tuple'",
        ),
        (
            float("nan"),
            "key 'bad': a value without a declared type must be JSON, and it is not a finite number",
        ),
    ],
)
def test_a_note_that_is_no_json_is_named(value: object, reason: str) -> None:
    context = Live()
    tracker = Tracker(context)
    context.scratchpad["bad"] = value
    for record in (tracker.diff, lambda: snapshot(context)):
        with pytest.raises(Unrecordable) as caught:
            record()
        assert caught.value.message == f"context field 'scratchpad': {reason}"
        assert caught.value.fix == "declare a field of that type in the context model"


def test_a_dict_that_contains_itself_is_named() -> None:
    context = Live()
    tracker = Tracker(context)
    context.scratchpad["loop"] = context.scratchpad
    with pytest.raises(Unrecordable, match=r"key 'loop': .* contains itself"):
        tracker.diff()


def test_other_bad_values_are_named() -> None:
    context = Live()
    tracker = Tracker(context)
    context.scratchpad[1] = 2  # pyright: ignore[reportArgumentType]
    with pytest.raises(Unrecordable, match="field 'scratchpad': it has a key of type 'int'"):
        tracker.diff()
    context.scratchpad = {"\ud800": 1}
    with pytest.raises(Unrecordable, match="unpaired surrogate"):
        tracker.diff()
    context.scratchpad = {}
    context.log.append(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        Unrecordable, match="field 'log': a value of type 'int' cannot be recorded as the declared"
    ):
        tracker.diff()
    context.log = []
    del vars(context)["count"]
    with pytest.raises(Unrecordable, match="field 'count': it was deleted"):
        tracker.diff()


def test_fields_that_cannot_be_recorded_are_problems_of_the_plan() -> None:
    class Bad(PipelineContext):
        model_config = {"arbitrary_types_allowed": True, "extra": "allow"}
        call: Callable[[], int] | None = None
        password: SecretStr = SecretStr("")
        lock: Tracker | None = None
        fine: int = 0

    problems = check_context(Bad)
    assert [problem.address for problem in problems] == [
        "context.call",
        "context.password",
        "context.lock",
        "context",
    ]
    assert all(problem.message and problem.fix for problem in problems)
    assert check_context(Live) == []
    with pytest.raises(Unrecordable, match=r"Bad\.call"):
        Tracker(Bad())


# Snapshots


def test_a_snapshot_restores_the_whole_context() -> None:
    context = Live(count=3, total=Decimal("2.50"), latest=Note(text="a"), tags={"x"}, scratchpad={"a": [1]})
    again = restore(Live, snapshot(context))
    assert same(context, again)
    assert same(context, restore(Live, from_json(snapshot(context))))
    again.count = 4
    again.log.append("x")
    assert Tracker(again).diff() is None


def test_a_restored_context_has_private_attributes_and_its_own_state() -> None:
    class Wired(PipelineContext):
        items: list[str] = []
        alias: int = Field(default=0, alias="other")
        _calls: list[str] = PrivateAttr(default_factory=list)

        def model_post_init(self, context: Any, /) -> None:
            self.items.append("made")
            self._calls.append("init")

        @property
        def calls(self) -> list[str]:
            return self._calls

    context = Wired(other=2)
    again = restore(Wired, snapshot(context))
    assert again.items == ["made"]
    assert again.alias == 2
    assert again.calls == ["init"]


def test_a_snapshot_of_another_model_is_refused() -> None:
    class Fewer(PipelineContext):
        pass

    class Needs(PipelineContext):
        must: int

    class Other(PipelineContext):
        count: str = ""

    for model, name, data in (
        (Fewer, "count", {"count": 1}),
        (Needs, "must", {}),
        (Other, "count", {"count": 1}),
    ):
        with pytest.raises(PlanChanged, match=name) as caught:
            restore(model, data)
        assert caught.value.addresses == (f"context.{name}",)
    assert restore(Live, b"{}") == Live()


@pytest.mark.parametrize(
    "patch",
    [
        b'{"unknown":{"set":1}}',
        b'{"count":{"set":"x"}}',
        b'{"count":{"append":[1]}}',
        b'{"log":{"keys":{"a":1}}}',
        b'{"log":{"append":[1]}}',
        b'{"ages":{"append":[1]}}',
    ],
)
def test_a_patch_of_another_model_is_refused(patch: bytes) -> None:
    with pytest.raises(PlanChanged, match="context field Live"):
        apply(Live(), patch)


def test_applying_a_patch_to_a_view_leaves_the_parent_alone() -> None:
    parent = Live(log=["a"], scratchpad={"k": [1]})
    view = fork(parent)
    tracker = Tracker(view)
    tracker.apply(b'{"log":{"append":["b"]},"scratchpad":{"keys":{"n":1}},"tags":{"set":["t"]}}')
    assert parent == Live(log=["a"], scratchpad={"k": [1]})
    assert view == Live(log=["a", "b"], scratchpad={"k": [1], "n": 1}, tags={"t"})
    assert touched(view) == set()
    assert tracker.diff() is None
    view.log.append("c")
    assert patch_of(tracker) == {"log": {"append": ["c"]}}


# Adding patches up


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("{}", '{"a":{"set":1}}', '{"a":{"set":1}}'),
        ('{"a":{"set":1}}', "{}", '{"a":{"set":1}}'),
        ('{"a":{"set":1}}', '{"a":{"set":2},"b":{"set":3}}', '{"a":{"set":2},"b":{"set":3}}'),
        ('{"a":{"append":[1]}}', '{"a":{"append":[2]}}', '{"a":{"append":[1,2]}}'),
        ('{"a":{"set":[1]}}', '{"a":{"append":[2]}}', '{"a":{"set":[1,2]}}'),
        ('{"a":{"append":[1]}}', '{"a":{"set":[]}}', '{"a":{"set":[]}}'),
        ('{"a":{"keys":{"x":1}}}', '{"a":{"keys":{"y":2}}}', '{"a":{"keys":{"x":1,"y":2}}}'),
        ('{"a":{"keys":{"x":1}}}', '{"a":{"gone":["x"]}}', '{"a":{"keys":{},"gone":["x"]}}'),
        ('{"a":{"gone":["x"]}}', '{"a":{"keys":{"x":1}}}', '{"a":{"gone":["x"],"keys":{"x":1}}}'),
        ('{"a":{"set":{"x":1}}}', '{"a":{"keys":{"y":2},"gone":["x"]}}', '{"a":{"set":{"y":2}}}'),
    ],
)
def test_two_patches_make_one(first: str, second: str, both: str) -> None:
    assert compose(first.encode(), second.encode()) == both.encode()


def test_a_summary_leaves_the_patches_it_was_given_alone() -> None:
    first: dict[str, Any] = {"a": {"append": [1]}, "b": {"set": {"x": 1}}, "c": {"keys": {"k": 1}}}
    kept = copy.deepcopy(first)
    total = Summary()
    assert total.patch() is None
    total.add(first)
    total.add({"a": {"append": [2]}, "b": {"keys": {"y": 2}}, "c": {"gone": ["k"]}})
    assert first == kept


# All of it, on whatever happens

texts = st.text('abü"\\', max_size=3)
keys = st.sampled_from(["k", "l", "m"])
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from([0.5, 1.5]) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=5,
)
decimals = st.sampled_from([Decimal(1), Decimal("1.0"), Decimal("-2.5")])
notes = st.builds(Note, text=texts, tags=st.lists(texts, max_size=2))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "count": st.integers(0, 3),
    "title": st.none() | texts,
    "total": decimals,
    "due": st.none() | st.integers(0, 2) | st.dates(date(2026, 1, 1), date(2026, 1, 3)),
    "log": st.lists(texts, max_size=3),
    "rows": st.none() | st.lists(st.dictionaries(keys, st.integers(0, 2)), max_size=3),
    "notes": st.lists(notes, max_size=3),
    "mixed": st.lists(st.integers(0, 2) | decimals, max_size=3),
    "ages": st.dictionaries(keys, st.integers(0, 2)),
    "people": st.dictionaries(keys, notes),
    "prices": st.dictionaries(keys, decimals),
    "tags": st.sets(texts, max_size=3),
    "latest": st.none() | notes,
    "by_number": st.dictionaries(st.integers(0, 2), texts),
    "scratchpad": st.dictionaries(keys, json_values),
}
MEMBERS: dict[str, tuple[st.SearchStrategy[Any], st.SearchStrategy[Any]]] = {
    "ages": (keys, st.integers(0, 2)),
    "people": (keys, notes),
    "prices": (keys, decimals),
    "by_number": (st.integers(0, 2), texts),
    "scratchpad": (keys, json_values),
}
ITEMS: dict[str, st.SearchStrategy[Any]] = {
    "log": texts,
    "rows": st.dictionaries(keys, st.integers(0, 2)),
    "notes": notes,
    "mixed": st.integers(0, 2) | decimals,
}
contexts = st.builds(Live, **VALUES)


def _assign(name: str, value: Any) -> Change:
    return lambda context: setattr(context, name, copy.deepcopy(value))


def _write(name: str, key: Any, value: Any) -> Change:
    return lambda context: getattr(context, name).update({key: copy.deepcopy(value)})


def _remove(name: str, key: Any) -> Change:
    return lambda context: getattr(context, name).pop(key, None)


def _append(name: str, value: Any) -> Change:
    def append(context: Live) -> None:
        items: list[Any] | None = getattr(context, name)
        if items is not None:
            items.append(copy.deepcopy(value))

    return append


def _drop(name: str, index: int) -> Change:
    def drop(context: Live) -> None:
        items: list[Any] = getattr(context, name) or []
        del items[index : index + 1]

    return drop


def _read(name: str) -> Change:
    return lambda context: getattr(context, name)


def _tag(key: str, tag: str) -> Change:
    def add(context: Live) -> None:
        for note in [context.latest, context.people.get(key), *context.notes[:1]]:
            if note is not None:
                note.tags.append(tag)

    return add


def _deepen(key: str, value: Any) -> Change:
    def add(context: Live) -> None:
        inner = context.scratchpad.get(key)
        if isinstance(inner, list):
            inner.append(copy.deepcopy(value))  # pyright: ignore[reportUnknownMemberType]
        elif isinstance(inner, dict):
            inner["deep"] = copy.deepcopy(value)

    return add


def _member(name: str) -> st.SearchStrategy[Change]:
    key, value = MEMBERS[name]
    return st.builds(_write, st.just(name), key, value) | st.builds(_remove, st.just(name), key)


def _item(name: str) -> st.SearchStrategy[Change]:
    item = st.builds(_append, st.just(name), ITEMS[name])
    return item | item | st.builds(_drop, st.just(name), st.integers(0, 2))


changes: st.SearchStrategy[Change] = st.one_of(
    st.sampled_from(sorted(VALUES)).flatmap(lambda name: st.builds(_assign, st.just(name), VALUES[name])),
    st.sampled_from(sorted(MEMBERS)).flatmap(_member),
    st.sampled_from(sorted(ITEMS)).flatmap(_item),
    st.builds(_read, st.sampled_from(sorted(VALUES))),
    st.builds(_tag, keys, texts),
    st.builds(_deepen, keys, json_values),
)
steps = st.lists(st.lists(changes, max_size=4), max_size=6)


@given(contexts, steps)
def test_patches_applied_in_order_give_the_live_context(context: Live, steps: list[list[Change]]) -> None:
    start, tracker = snapshot(context), Tracker(context)
    copies = [restore(Live, start), restore(Live, start)]
    follower = Tracker(copies[0])
    total = Summary()
    for step in steps:
        for change in step:
            change(context)
        patch = tracker.diff()
        if patch is not None:
            follower.apply(patch)
            total.add(patch)
        assert follower.diff(sweep=True) is None
        assert tracker.diff(sweep=True) is None
        assert same(context, copies[0])
    apply(copies[1], total.patch() or b"{}")
    assert same(context, copies[1])
    assert same(context, restore(Live, snapshot(context)))


@given(contexts, steps, steps)
def test_a_resumed_context_is_tracked_from_where_it_was_left(
    context: Live, before: list[list[Change]], after: list[list[Change]]
) -> None:
    start, tracker = snapshot(context), Tracker(context)
    again, third = restore(Live, start), restore(Live, start)
    resumed = Tracker(again)
    for step in before:
        for change in step:
            change(context)
        patch = tracker.diff() or b"{}"
        resumed.apply(patch)
        apply(third, patch)
    for step in after:
        for change in step:
            change(again)
        apply(third, resumed.diff() or b"{}")
        assert same(third, again)


@given(contexts, steps)
def test_composed_patches_do_what_they_do_in_order(context: Live, steps: list[list[Change]]) -> None:
    start, tracker = snapshot(context), Tracker(context)
    patches: list[bytes] = []
    for step in steps:
        for change in step:
            change(context)
        patches.append(tracker.diff() or b"{}")
    left = right = b"{}"
    for patch in patches:
        left = compose(left, patch)
    for patch in reversed(patches):
        right = compose(patch, right)
    for total in (left, right):
        again = restore(Live, start)
        apply(again, total)
        assert same(context, again)

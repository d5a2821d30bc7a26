"""Branches' changes come together in declared order, or are a conflict that names the two."""

# ruff: noqa: RUF012 (a model copies its defaults)

import copy
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_core import from_json

from flujo.engine.merge import merge
from flujo.engine.patch import Tracker, apply, restore, snapshot
from flujo.errors import ContextConflict
from flujo.pipeline.context import PipelineContext, begin_watch, fork
from flujo.pipeline.reducers import Add, Append, Last, Max


class Note(BaseModel):
    text: str
    tags: list[str] = []


class Shared(PipelineContext):
    title: str = ""
    total: Decimal = Decimal(0)
    spent: Annotated[int, Add()] = 0
    best: Annotated[int | None, Max()] = None
    winner: Annotated[str, Last()] = ""
    log: Annotated[list[str], Append()] = []
    plain: list[str] = []
    people: dict[str, Note] = {}
    latest: Note | None = None


Change = Callable[[Shared], object]


def joined(parent: Shared, *branches: Change) -> Shared:
    views = [(f"b{number}", fork(parent)) for number in range(len(branches))]
    for (_, view), change in zip(views, branches, strict=True):
        change(view)
    merge(parent, views)
    return parent


def conflict(*branches: Change, parent: Shared | None = None) -> ContextConflict:
    parent = parent or Shared(people={"a": Note(text="a")}, scratchpad={"k": 1})
    before = copy.deepcopy(parent)
    with pytest.raises(ContextConflict) as caught:
        joined(parent, *branches)
    assert parent == before
    return caught.value


def put(name: str, value: Any) -> Change:
    return lambda context: setattr(context, name, value)


def write(name: str, key: str, value: Any) -> Change:
    return lambda context: getattr(context, name).update({key: value})


def remove(name: str, key: str) -> Change:
    return lambda context: getattr(context, name).pop(key, None)


def tag(person: str, text: str) -> Change:
    return lambda view: view.people[person].tags.append(text)


def append(name: str, value: Any) -> Change:
    return lambda context: getattr(context, name).append(value)


def test_different_fields_and_keys_come_together() -> None:
    result = joined(
        Shared(scratchpad={"k": 1, "old": 2}),
        put("title", "t"),
        write("scratchpad", "a", [1]),
        remove("scratchpad", "old"),
        write("people", "x", Note(text="x")),
    )
    assert result == Shared(title="t", scratchpad={"k": 1, "a": [1]}, people={"x": Note(text="x")})


def test_changes_deep_inside_come_with_their_key() -> None:
    parent = Shared(people={"a": Note(text="a"), "b": Note(text="b")}, scratchpad={"deep": {"x": [1]}})
    result = joined(
        parent,
        lambda view: view.people["a"].tags.append("t"),
        lambda view: view.scratchpad["deep"]["x"].append(2),
        lambda view: view.people["b"].tags.append("u"),
    )
    assert result.people == {"a": Note(text="a", tags=["t"]), "b": Note(text="b", tags=["u"])}
    assert result.scratchpad == {"deep": {"x": [1, 2]}}


def test_reading_is_no_change() -> None:
    parent = Shared(plain=["a"], latest=Note(text="n"))
    result = joined(parent, lambda view: (view.plain, view.latest, dict(view)), put("plain", ["b"]))
    assert result == Shared(plain=["b"], latest=Note(text="n"))


def test_two_branches_that_agree_are_no_conflict() -> None:
    result = joined(
        Shared(scratchpad={"old": 1}),
        lambda view: (view.plain.append("x"), view.scratchpad.pop("old")),
        lambda view: (put("plain", ["x"])(view), view.scratchpad.clear()),
        put("latest", Note(text="n")),
        put("latest", Note(text="n")),
    )
    assert result == Shared(plain=["x"], latest=Note(text="n"))


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        (put("title", "x"), put("title", "y"), "field 'title'"),
        (put("total", Decimal("1.0")), put("total", Decimal("1.00")), "field 'total'"),
        (append("plain", "x"), append("plain", "y"), "field 'plain'"),
        (put("latest", Note(text="x")), put("latest", Note(text="y")), "field 'latest'"),
        (write("scratchpad", "k", 2), write("scratchpad", "k", 3), "key 'k' of field 'scratchpad'"),
        (write("scratchpad", "k", True), write("scratchpad", "k", 1.0), "key 'k' of field 'scratchpad'"),
        (write("scratchpad", "k", 2), remove("scratchpad", "k"), "key 'k' of field 'scratchpad'"),
        (remove("scratchpad", "k"), write("scratchpad", "k", 2), "key 'k' of field 'scratchpad'"),
        (write("scratchpad", "n", 2), write("scratchpad", "n", None), "key 'n' of field 'scratchpad'"),
        (
            tag("a", "x"),
            write("people", "a", Note(text="b")),
            "key 'a' of field 'people'",
        ),
    ],
)
def test_two_branches_that_differ_are_a_conflict_that_names_them(
    one: Change, other: Change, what: str
) -> None:
    error = conflict(put("title", "") if "title" not in what else lambda _: None, one, other)
    assert error.message == f"the parallel branches 'b1' and 'b2' wrote {what} of the context differently"
    assert "Annotated[..., Last()]" in error.fix


def test_the_conflict_that_is_reported_does_not_vary() -> None:
    def both(text: str) -> Change:
        return lambda view: (put("latest", Note(text=text))(view), put("title", text)(view))

    assert "field 'title'" in conflict(both("x"), both("y"), both("z")).message


def test_reducers_combine_what_branches_wrote() -> None:
    def work(name: str, cost: int) -> Change:
        def branch(view: Shared) -> None:
            view.spent += cost
            view.best = cost
            view.winner = name
            view.log.append(name)

        return branch

    parent = Shared(spent=10, log=["start"])
    result = joined(parent, work("x", 3), lambda _: None, work("y", 2))
    assert result == Shared(spent=15, best=3, winner="y", log=["start", "x", "y"])


def test_a_reducer_that_refuses_is_a_conflict() -> None:
    error = conflict(append("log", "x"), put("log", ["other"]), parent=Shared(log=["start"]))
    assert error.message.startswith(
        "the reducer of context field 'log' cannot combine the branches 'b0', 'b1': Append()"
    )
    assert error.fix


def test_a_reducer_whose_result_does_not_fit_is_a_conflict() -> None:
    class Wrong:
        def combine(self, base: Any, branches: Sequence[Any], /) -> Any:
            return "text"

    class Bad(PipelineContext):
        count: Annotated[int, Wrong()] = 0

    parent = Bad()
    view = fork(parent)
    view.count = 1
    with pytest.raises(
        ContextConflict, match="the reducer of context field 'count' cannot combine the branches 'a'"
    ):
        merge(parent, [("a", view)])
    assert parent.count == 0


def test_views_of_views_merge_without_reaching_their_grandparent() -> None:
    root = Shared(scratchpad={"deep": [1]}, log=["r"])
    outer = fork(root)
    inner = [("x", fork(outer)), ("y", fork(outer))]
    inner[0][1].scratchpad["deep"].append(2)
    inner[1][1].log.append("y")
    merge(outer, inner)
    assert outer == Shared(scratchpad={"deep": [1, 2]}, log=["r", "y"])
    outer.scratchpad["deep"].append(3)
    assert root == Shared(scratchpad={"deep": [1]}, log=["r"])
    merge(root, [("outer", outer)])
    assert root == Shared(scratchpad={"deep": [1, 2, 3]}, log=["r", "y"])


@pytest.mark.parametrize("watched", [False, True])
def test_the_parent_may_be_tracked_watched_or_neither(watched: bool) -> None:
    parent = Shared(log=["a"])
    if watched:
        begin_watch(parent)
    assert joined(parent, append("log", "b"), put("title", "t")) == Shared(log=["a", "b"], title="t")


def test_a_tracked_parent_records_only_what_the_merge_changed() -> None:
    parent = Shared(log=["a"] * 3, scratchpad={"big": "x" * 100, "k": 1}, people={"a": Note(text="a")})
    tracker = Tracker(parent)
    joined(
        parent,
        append("log", "b"),
        lambda view: (append("log", "c")(view), view.people["a"].tags.append("t")),
        lambda view: (write("scratchpad", "n", 2)(view), view.scratchpad.pop("k"), put("spent", 4)(view)),
    )
    patch = tracker.diff()
    assert patch is not None
    assert from_json(patch) == {
        "scratchpad": {"keys": {"n": 2}, "gone": ["k"]},
        "spent": {"set": 4},
        "log": {"append": ["b", "c"]},
        "people": {"keys": {"a": {"text": "a", "tags": ["t"]}}},
    }
    assert tracker.diff(sweep=True) is None


def test_what_a_step_holds_of_a_dict_stays_the_live_one() -> None:
    parent = Shared(scratchpad={"k": 1})
    kept = parent.scratchpad
    joined(parent, write("scratchpad", "n", 2))
    assert kept is parent.scratchpad
    assert kept == {"k": 1, "n": 2}


# Whatever the branches do, and in whatever order

keys = st.sampled_from(["k", "l"])
small = st.integers(0, 2)
texts = st.sampled_from(["", "x", "y"])
shared = st.builds(
    Shared,
    title=texts,
    spent=small,
    best=st.none() | small,
    log=st.lists(texts, max_size=2),
    plain=st.lists(texts, max_size=2),
    people=st.dictionaries(keys, st.builds(Note, text=texts)),
    scratchpad=st.dictionaries(keys, small | st.lists(small, max_size=2)),
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(put, st.sampled_from(["title", "winner"]), texts),
    st.builds(put, st.sampled_from(["spent", "best"]), small),
    st.builds(append, st.sampled_from(["log", "log", "plain"]), texts),
    st.builds(write, st.just("scratchpad"), keys, small | st.lists(small, max_size=2).map(tuple).map(list)),
    st.builds(write, st.just("people"), keys, texts.map(lambda text: Note(text=text))),
    st.builds(remove, st.sampled_from(["scratchpad", "people"]), keys),
)
plans = st.lists(st.lists(changes, max_size=2), min_size=1, max_size=4)


def outcome(
    parent: Shared, branches: list[list[Change]], order: Sequence[int], tracked: bool
) -> tuple[object, bytes | None]:
    """Run the branches' changes in the given order of turns, join, and return the result or the conflict."""
    parent = copy.deepcopy(parent)
    tracker = Tracker(parent) if tracked else None
    views = [(f"b{number}", fork(parent)) for number in range(len(branches))]
    trackers = [Tracker(view) if tracked else None for _, view in views]
    left = [list(branch) for branch in branches]
    for number in order:
        if left[number]:
            copy_of = copy.deepcopy(left[number].pop(0))
            copy_of(views[number][1])
            own = trackers[number]
            if own is not None:
                own.diff()
    try:
        merge(parent, views)
    except ContextConflict as error:
        return error.message, None
    return parent, None if tracker is None else tracker.diff()


@given(shared, plans, st.data())
def test_a_merge_does_not_depend_on_who_finished_first(
    parent: Shared, branches: list[list[Change]], data: st.DataObject
) -> None:
    turns = [number for number, branch in enumerate(branches) for _ in branch]
    start = snapshot(parent)
    expected, _ = outcome(parent, branches, turns, tracked=False)
    result, patch = outcome(parent, branches, data.draw(st.permutations(turns)), tracked=True)
    assert result == expected
    if isinstance(result, Shared):
        again = restore(Shared, start)
        apply(again, patch or b"{}")
        assert again == result


@given(shared, plans)
def test_views_are_isolated_from_each_other_and_from_their_parent(
    parent: Shared, branches: list[list[Change]]
) -> None:
    before = copy.deepcopy(parent)
    views = [fork(parent) for _ in branches]
    for number, branch in enumerate(branches):
        alone = copy.deepcopy(before)
        for change in branch:
            change(views[number])
            change(alone)
        assert views[number] == alone
        assert parent == before
        assert all(later == before for later in views[number + 1 :])

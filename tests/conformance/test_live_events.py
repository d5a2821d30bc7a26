"""What every store leaves out of a run's live events: all that a recorded composite covers."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from flujo.journal.events import EventKind
from flujo.journal.store import JournalStore
from tests.journal.scribe import Scribe

MakeStore = Callable[[Path], JournalStore]


async def record_live(
    store: JournalStore, *events: tuple[EventKind, str], run_id: str = "run-1"
) -> list[tuple[str, str]]:
    """Store a run of these kinds and addresses and return those of its live events."""
    scribe = Scribe(run_id)
    await store.submit(scribe.begin())
    await store.submit(scribe.batch(*(scribe.event(kind, address) for kind, address in events)))
    return [(event.kind, event.address) for event in (await store.live_events(run_id))[1:]]


def is_covered(events: list[tuple[EventKind, str]], place: int) -> bool:
    """Say whether a composite that is recorded later covers an event."""
    address = events[place][1]
    return any(
        kind in ("node.completed", "turn") and address.startswith((above + "/", above + "[", above + "#"))
        for kind, above in events[place + 1 :]
    )


class TestLiveEvents:
    async def test_a_run_without_composites_is_live(self, store: JournalStore) -> None:
        events: list[tuple[EventKind, str]] = [
            ("step.completed", "a"),
            ("effect", "b#card"),
            ("choice", "route"),
        ]
        assert await record_live(store, *events) == events

    async def test_a_composite_covers_what_is_below_it(self, store: JournalStore) -> None:
        assert await record_live(
            store,
            ("step.completed", "first"),
            ("choice", "read"),
            ("step.completed", "read/date"),
            ("effect", "read#seed"),
            ("step.completed", "read[0]/date"),
            ("node.completed", "read"),
            ("step.completed", "last"),
        ) == [
            ("step.completed", "first"),
            ("choice", "read"),
            ("node.completed", "read"),
            ("step.completed", "last"),
        ]

    async def test_a_name_is_not_below_a_shorter_one(self, store: JournalStore) -> None:
        assert await record_live(
            store,
            ("step.completed", "reader"),
            ("step.completed", "read-2/date"),
            ("step.completed", "other/read/date"),
            ("turn", "loop[10]"),
            ("step.completed", "loop[11]/draft"),
            ("turn", "loop[1]"),
            ("node.completed", "read"),
        ) == [
            ("step.completed", "reader"),
            ("step.completed", "read-2/date"),
            ("step.completed", "other/read/date"),
            ("turn", "loop[10]"),
            ("step.completed", "loop[11]/draft"),
            ("turn", "loop[1]"),
            ("node.completed", "read"),
        ]

    async def test_what_comes_after_a_composite_is_live(self, store: JournalStore) -> None:
        """As does the undoing of a step inside it."""
        events: list[tuple[EventKind, str]] = [("node.completed", "pay"), ("undone", "pay/charge")]
        assert await record_live(store, ("step.completed", "pay/charge"), *events) == events

    async def test_only_composites_cover(self, store: JournalStore) -> None:
        events: list[tuple[EventKind, str]] = [("effect", "charge#card"), ("step.completed", "charge")]
        assert await record_live(store, *events) == events

    async def test_composites_in_composites(self, store: JournalStore) -> None:
        inside: list[tuple[EventKind, str]] = []
        for turn in (1, 2, 3):
            for item in range(3):
                inside.append(("step.completed", f"sub/loop[{turn}]/each[{item}]/a"))
                inside.append(("node.completed", f"sub/loop[{turn}]/each[{item}]"))
            inside.append(("node.completed", f"sub/loop[{turn}]/each"))
            inside.append(("turn", f"sub/loop[{turn}]"))
        live = await record_live(store, *inside[:-1])
        assert live == [
            ("turn", "sub/loop[1]"),
            ("turn", "sub/loop[2]"),
            ("node.completed", "sub/loop[3]/each"),
        ]

    async def test_parallel_branches_interleave(self, store: JournalStore) -> None:
        assert await record_live(
            store,
            ("step.started", "both/a/x"),
            ("step.started", "both/b/x"),
            ("step.completed", "both/a/x"),
            ("node.completed", "both/b/y"),
            ("step.completed", "both/a/y/z"),
            ("step.completed", "both/b/y/z"),
            ("node.completed", "both/a/y"),
            ("step.completed", "both/b/w"),
            ("node.completed", "both/a"),
        ) == [
            ("step.started", "both/b/x"),
            ("node.completed", "both/b/y"),
            ("step.completed", "both/b/y/z"),  # recorded after the composite: not covered by it
            ("step.completed", "both/b/w"),
            ("node.completed", "both/a"),
        ]

    async def test_covers_reach_over_many_pages(self, store: JournalStore) -> None:
        turns: list[tuple[EventKind, str]] = []
        for turn in range(1, 1_001):
            turns.append(("step.completed", f"loop[{turn}]/a"))
            turns.append(("effect", f"loop[{turn}]/a#x"))
            turns.append(("turn", f"loop[{turn}]"))
        assert await record_live(store, *turns) == turns[2::3]

    async def test_an_unknown_run_has_no_events(self, store: JournalStore) -> None:
        assert await store.live_events("nobody") == []

    def test_as_defined(self, make_store: MakeStore, tmp_path: Path) -> None:
        store, numbers = make_store(tmp_path), count(1)

        @settings(max_examples=60)
        @given(
            st.lists(
                st.tuples(
                    st.sampled_from(["step.completed", "node.completed", "turn", "effect"]),
                    st.lists(
                        st.sampled_from(["a", "b", "/a", "/b", "[1]", "[12]", "#a", "ab"]),
                        min_size=1,
                        max_size=4,
                    ).map("".join),
                ),
                max_size=30,
            )
        )
        def check(events: list[tuple[EventKind, str]]) -> None:
            if events:
                live = loop.run(record_live(store, *events, run_id=f"run-{next(numbers)}"))
                assert live == [event for place, event in enumerate(events) if not is_covered(events, place)]

        with asyncio.Runner() as loop:
            check()
            loop.run(store.close())

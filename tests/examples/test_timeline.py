"""The timeline of a run: every event in its place, pauses cut short, failures told."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from examples.invoice_intake.timeline import Bar, duration, timeline
from flujo import Decision, Flujo, HumanInput, MemoryStore, Retry, StepInfo, step
from flujo.journal.events import Event, EventKind

HOUR = 3_600_000_000


def event(kind: EventKind, address: str, at: int, **body: object) -> Event:
    return Event("run", 1, kind, address, at, json.dumps(body).encode(), b"")


def of(bars: Sequence[Bar], label: str) -> Bar:
    return next(bar for bar in bars if bar.span.label == label)


def test_work_is_drawn_to_scale_and_a_pause_is_cut_short() -> None:
    bars = timeline(
        [
            event("run.started", "", 0),
            event("step.completed", "first", 100_000, took=100_000),
            event("request", "review", 100_000),
            event(
                "answer", "review", HOUR, action="deny", value=None, actor="Ada", channel="cli", reason="no"
            ),
            event("step.completed", "second", HOUR + 300_000, took=300_000),
            event("run.ended", "", HOUR + 300_000, status="completed"),
        ]
    )

    first, review, second = of(bars, "first"), of(bars, "review"), of(bars, "second")
    assert second.width == pytest.approx(3 * first.width)
    assert review.width == pytest.approx(0.12 * (first.width + second.width))
    assert (first.left, review.left) == (0, pytest.approx(first.width))
    assert second.left + second.width == pytest.approx(100)
    assert (review.span.took, review.span.note) == ("59 min 59 s", "Ada (cli): deny: no")


def test_nothing_happened() -> None:
    assert timeline([]) == []


def test_what_waits_still() -> None:
    bars = timeline([event("run.started", "", 0), event("request", "review", 5)])

    assert of(bars, "review").span.note == "waits for a decision"


@pytest.mark.parametrize(
    ("microseconds", "said"),
    [
        (800, "0.8 ms"),
        (99_000, "99.0 ms"),
        (1_234_000, "1.23 s"),
        (61_000_000, "1 min 1 s"),
        (HOUR + 60_000_000, "1 h 1 min"),
    ],
)
def test_durations(microseconds: int, said: str) -> None:
    assert duration(microseconds) == said


@step(retry=Retry(2, backoff=0))
async def flaky(number: int, info: StepInfo) -> int:
    if info.attempt == 1:
        raise ValueError("not yet")
    return await info.do("double", double, number)


def double(number: int) -> int:
    return 2 * number


async def test_a_real_journal_is_told() -> None:
    store = MemoryStore()
    runner = Flujo(flaky >> HumanInput("Well?", schema=int, name="review"), state=store)
    paused = await runner.run_async(3, run_id="run")
    await runner.resume_async(paused, Decision("approve", actor="Ada", channel="terminal"))

    told = [(bar.span.label, bar.span.kind, bar.span.note) for bar in timeline(await store.events("run"))]

    assert ("flaky", "trouble", "attempt 1: ValueError: not yet") in told
    assert ("flaky#double", "mark", "recorded once: double gave 6") in told
    assert ("flaky", "step", "2 attempts") in told
    assert ("review", "wait", "Ada (terminal): approve") in told
    assert [label for label, _, _ in told][-1] == "run completed"
    assert all(0 <= bar.left <= 100 for bar in timeline(await store.events("run")))

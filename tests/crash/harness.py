"""The harness: carries a scenario to its end, lets its process die, and judges what came of it."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

from pydantic_core import from_json

from flujo import Approval, Flujo, MemoryStore, PipelineResult, testing
from flujo.journal.events import Event
from flujo.journal.store import Batch, JournalStore, StatusChange
from flujo.journal.verify import verify
from flujo.testing import Answer, Death, Late, Outcome, VirtualClock, carry_on, died
from tests.crash.scenario import RUN, Notes, Scenario, a_clock
from tests.crash.witness import WITNESS, Deed


class Mortal(testing.Mortal):
    """A mortal store whose death ends what the witness sees, too."""

    def die(self) -> None:
        super().die()
        WITNESS.dead = True


class Life(NamedTuple):
    """What one process did before it died: its deeds, and the journal it left."""

    deeds: Sequence[Deed]
    journal: Sequence[Event]


class Carried(NamedTuple):
    """A run that was carried to its end, by one process or by several after each other."""

    outcome: Outcome
    lives: Sequence[Life]
    journal: Sequence[Event]
    commits: int
    clock: VirtualClock
    approved: Counter[str]


async def drive(
    scenario: Scenario, runner: Flujo[Any, Any], clock: VirtualClock, approved: Counter[str] | None = None
) -> PipelineResult[Any]:
    """Carry a run on from wherever it stands until it ends, answering what it asks."""

    def answer(request: Approval) -> Answer:
        if request.kind == "in_doubt":
            decision = scenario.in_doubt[request.address]
            if approved is not None and decision.action == "approve":
                approved[request.address] += 1
            return decision
        given = scenario.answers[request.address]
        if not isinstance(given, Late):
            WITNESS.saw(Deed("answer", request.address))
        return given

    return await carry_on(runner, RUN, scenario.input, answer, clock=clock, context=Notes(title="new"))


async def undisturbed(scenario: Scenario) -> Carried:
    """Carry a scenario through a life without accidents."""
    return await carry(scenario, [Mortal(MemoryStore())])


async def dying(scenario: Scenario, at: int, death: Death, inner: JournalStore | None = None) -> Carried:
    """Carry a scenario in a process that dies at a commit, and then in another to the end."""
    inner = inner or MemoryStore()
    return await carry(scenario, [Mortal(inner, at, death), Mortal(inner)])


async def carry(
    scenario: Scenario,
    stores: Sequence[Mortal],
    *,
    durability: str = "sync",
    clock: VirtualClock | None = None,
) -> Carried:
    """Carry a scenario through one life for each store; the last one lives.

    Raises:
        AssertionError: What the last life tells and what its journal says is not the same, or the
            journal is not sound.
    """
    WITNESS.reset()
    clock, approved = clock or a_clock(), Counter[str]()
    lives: list[Life] = []
    result: PipelineResult[Any] | None = None
    runner: Flujo[Any, Any] | None = None
    for store in stores:
        WITNESS.reset()
        runner = scenario.runner(store, clock, durability)
        try:
            result = await drive(scenario, runner, clock, approved)
        except BaseException as death:
            if not died(death):
                raise
        WITNESS.dead = False
        known = {event.seq: event for life in stores for event in life.acknowledged}
        known.update({event.seq: event for event in await store.events(RUN)})
        lives.append(Life(tuple(WITNESS.deeds), tuple(known[seq] for seq in sorted(known))))
        if result is not None:
            break
    assert result is not None, "no life reached the end"
    assert result.status == scenario.ends, result.error
    assert runner is not None
    store = stores[-1]
    outcome = Outcome.of(result)
    recorded = Outcome.of(await scenario.runner(store, clock).result(RUN))
    assert recorded == outcome, f"told is not recorded: {recorded.differing(outcome)}"
    report = await verify(store, RUN)
    assert report.sound, report.finding
    return Carried(outcome, lives, await store.events(RUN), stores[0].commits, clock, approved)


# Judging


@contextmanager
def told(where: str) -> Generator[None]:
    """Say with a failure where the run was broken off."""
    try:
        yield
    except AssertionError as error:
        error.add_note(where)
        raise


def judge(scenario: Scenario, whole: Carried, broken: Carried) -> None:
    """Compare a run that was broken off with the one that was not.

    Raises:
        AssertionError: A guarantee does not hold.
    """
    assert broken.outcome == whole.outcome, (
        f"it came out differently: {broken.outcome.differing(whole.outcome)}"
    )
    seen: list[Deed] = []
    for before, after in pairwise(broken.lives):
        seen += before.deeds
        nothing_repeated(before.journal, after.deeds)
        attempts_go_on(before.journal, after.deeds)
        few_repeated(scenario, seen, after.deeds)
    at_most_once(scenario, broken)
    one_key_each(broken)
    if scenario.width == 1:
        assert sum(broken.clock.slept) <= sum(whole.clock.slept) + 0.01, "it waited again"
    if scenario.exact:
        assert facts(scenario, broken.journal) == facts(scenario, whole.journal)


COVERS = ("node.completed", "turn")
KNOWN_BY = {
    "step": ("step.completed",),
    "validator": ("step.completed",),
    "hook": ("step.completed",),
    "predicate": ("choice", "turn"),
    "effect": ("effect",),
    "undo": ("undone",),
    "prompt": ("request",),
    "answer": ("answer",),
}


def is_over(journal: Sequence[Event]) -> Callable[[Deed], bool]:
    """Return how to tell whether the journal knows that something is over, by itself or by its composite."""
    recorded = {(event.kind, event.address) for event in journal}
    covers = tuple(
        f"{event.address}{mark}" for event in journal if event.kind in COVERS for mark in ("/", "[", "#")
    )
    ended = any(event.kind == "run.ended" for event in journal)

    def over(deed: Deed) -> bool:
        known = any((kind, deed.where) in recorded for kind in KNOWN_BY[deed.what])
        return ended or known or (deed.what != "undo" and deed.where.startswith(covers))

    return over


def nothing_repeated(journal: Sequence[Event], deeds: Sequence[Deed]) -> None:
    over = is_over(journal)
    repeated = [deed for deed in deeds if over(deed)]
    assert not repeated, f"what was recorded ran again: {repeated}"


def attempts_go_on(journal: Sequence[Event], deeds: Sequence[Deed]) -> None:
    """Check that the first attempt of a step after a death is the one after those recorded."""
    spent = Counter(event.address for event in journal if event.kind == "step.attempt")
    first: dict[str, int] = {}
    for deed in deeds:
        if deed.what == "step" and deed.attempt:
            first.setdefault(deed.where, deed.attempt)
    refunded = {where: number for where, number in first.items() if number != spent[where] + 1}
    assert not refunded, f"attempts were refunded: {refunded}"


def few_repeated(scenario: Scenario, before: Sequence[Deed], after: Sequence[Deed]) -> None:
    """Check that no more steps run again than were in flight: the others were committed before.

    A step that asked runs again from its start, as it would have anyway.
    """
    asked = {address.partition("#")[0] for address in scenario.answers}
    ran = {(d.where, d.attempt) for d in before if d.what == "step" and d.where not in asked}
    again = {(d.where, d.attempt) for d in after if d.what == "step"} & ran
    assert len(again) <= scenario.width, f"too much was not committed: {again}"


def at_most_once(scenario: Scenario, carried: Carried) -> None:
    """Check that nobody but a person has such a step run again: by approving, or by being asked inside."""
    ran = Counter((d.where, d.attempt) for life in carried.lives for d in life.deeds if d.what == "step")
    asks = Counter(address.partition("#")[0] for address in scenario.answers)
    for (where, attempt), times in ran.items():
        if where in scenario.in_doubt:
            most = 1 + carried.approved[where] + asks[where]
            assert times <= most, f"{where} ran {times} times on attempt {attempt}"


def one_key_each(carried: Carried) -> None:
    keys = {(d.where, d.key) for life in carried.lives for d in life.deeds if d.key}
    assert keys == {(where, f"{RUN}:{where}") for where, _ in keys}


def facts(scenario: Scenario, journal: Sequence[Event]) -> dict[tuple[str, str, int], Any]:
    """Return what a journal holds, except time, order, owners, and what was begun or given up."""
    found: dict[tuple[str, str, int], Any] = {}
    for event in journal:
        body: dict[str, Any] = from_json(event.body)
        if (
            event.kind in ("run.resumed", "run.paused", "step.started", "step.discarded")
            or body.get("kind") == "in_doubt"
        ):
            continue
        if event.kind == "answer" and event.address in scenario.in_doubt:
            continue
        for name in ("took", "at", "due", "asked_at", "deadline"):
            body.pop(name, None)
        place = (event.kind, event.address)
        count = sum((kind, address) == place for kind, address, _ in found)
        found[(*place, count)] = body
    return found


# More deaths


async def sliced(journal: Sequence[Event], payloads: JournalStore, length: int) -> MemoryStore:
    """Return a store that holds the first events of a run, as left by a process that is gone."""
    store = MemoryStore()
    events = list(journal[:length])
    record = await payloads.run(RUN)
    assert record is not None
    kept: dict[bytes, bytes] = {}
    for event in events:
        body: dict[str, Any] = from_json(event.body)
        for name, digest in body.items():
            if name.endswith("_ref"):
                kept[bytes.fromhex(digest)] = await payloads.payload(bytes.fromhex(digest))
    change = StatusChange("running", "", record.pipeline, record.fingerprint)
    if events:
        await store.submit(Batch(RUN, "gone", events, change, list(kept.items())))
    return store

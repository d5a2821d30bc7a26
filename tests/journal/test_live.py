"""Nothing goes on from a journal that was changed: what is not kept of it is checked, too."""

from collections.abc import Sequence

import pytest

from flujo.errors import ChainBroken
from flujo.journal.events import Event
from flujo.journal.live import LivePart
from flujo.journal.rules import changed, created
from flujo.journal.store import RunRecord, StatusChange
from tests.journal.scribe import Scribe


@pytest.fixture
def events() -> list[Event]:
    """A run whose events 2 to 4 are covered by 5."""
    scribe = Scribe()
    begin = scribe.begin().events
    inside = [scribe.event("step.completed", f"read/{name}") for name in "abc"]
    return [*begin, *inside, scribe.event("node.completed", "read"), scribe.event("step.completed", "post")]


def record_of(events: Sequence[Event], last: int, status: StatusChange) -> RunRecord:
    """Return the record of a run whose status changed with the event numbered ``last``."""
    scribe = Scribe()
    record = created(scribe.begin())
    return changed(record, scribe.batch(events[last - 1], change=status))


def live(events: Sequence[Event], record: RunRecord) -> list[int]:
    part = LivePart(record)
    part.add(reversed(events))
    return [event.seq for event in part.events()]


RUNNING = StatusChange("running")


def test_a_sound_journal(events: list[Event]) -> None:
    assert live(events, record_of(events, 1, RUNNING)) == [1, 5, 6]
    assert live(events, record_of(events, 6, StatusChange("paused"))) == [1, 5, 6]


@pytest.mark.parametrize("seq", range(1, 7))
@pytest.mark.parametrize(
    "change",
    [
        {"body": b"{ }"},
        {"at": 1},
        {"address": "other"},
        {"kind": "choice"},
        {"hash": bytes(32)},
        {"body": "{}"},
        {"address": b"read/a"},
        {"run_id": "run-2"},
    ],
)
def test_a_changed_event(events: list[Event], seq: int, change: dict[str, str | int | bytes]) -> None:
    record = record_of(events, 6, RUNNING)
    events[seq - 1] = events[seq - 1]._replace(**change)
    with pytest.raises(ChainBroken, match=r"run run-.: event \d"):
        live(events, record)


@pytest.mark.parametrize("seq", range(1, 7))
def test_a_missing_event(events: list[Event], seq: int) -> None:
    record = record_of(events, 6, RUNNING)
    del events[seq - 1]
    with pytest.raises(ChainBroken):
        live(events, record)


def test_a_journal_gone_altogether(events: list[Event]) -> None:
    with pytest.raises(ChainBroken, match="its journal is gone"):
        live([], record_of(events, 1, RUNNING))


def test_another_journal_of_the_same_length(events: list[Event]) -> None:
    record = record_of(events, 6, RUNNING)
    forger = Scribe()
    forged = [forger.event(event.kind, event.address, b'{"output":1}') for event in events]
    with pytest.raises(ChainBroken, match="is not the event that the run's record names"):
        live(forged, record)


def test_a_record_that_claims_an_end(events: list[Event]) -> None:
    with pytest.raises(ChainBroken, match="does not fit the status of the run, completed"):
        live(events, record_of(events, 6, StatusChange("completed")))


def test_a_record_that_denies_the_end() -> None:
    scribe = Scribe()
    events = [*scribe.begin().events, *scribe.end(StatusChange("failed")).events]
    assert live(events, record_of(events, 2, StatusChange("failed"))) == [1, 2]
    with pytest.raises(ChainBroken, match="does not fit the status of the run, paused"):
        live(events, record_of(events, 2, StatusChange("paused")))

"""Writes sound journals, so that each test says only what is special about its own."""

import sqlite3
from collections.abc import Sequence
from hashlib import sha256

from flujo.journal.events import GENESIS, Event, EventKind, link
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import Batch, StatusChange

START = 1_800_000_000_000_000

RUNNING = StatusChange("running", owner="here:1:0", pipeline="triage", fingerprint="f1")


class Scribe:
    """Writes one run as its one owner: it counts the events and links their hashes."""

    def __init__(self, run_id: str = "run-1", token: str = "", *, at: int = START) -> None:
        self.run_id = run_id
        self.token = token or f"token of {run_id}"
        self.seq = 0
        self.head = GENESIS
        self.at = at

    def event(self, kind: EventKind = "step.completed", address: str = "draft", body: bytes = b"{}") -> Event:
        """Return the run's next event."""
        self.seq += 1
        self.at += 1
        self.head = link(self.head, self.run_id, self.seq, kind, address, self.at, body)
        return Event(self.run_id, self.seq, kind, address, self.at, body, self.head)

    def batch(
        self,
        *events: Event,
        change: StatusChange | None = None,
        payloads: Sequence[tuple[bytes, bytes]] = (),
        cache: Sequence[tuple[str, bytes]] = (),
    ) -> Batch:
        """Return a batch of these events; of one more when none is given."""
        return Batch(self.run_id, self.token, events or (self.event(),), change, payloads, cache)

    def begin(self, change: StatusChange = RUNNING) -> Batch:
        """Return the batch that begins the run."""
        return self.batch(self.event("run.started", "", b'{"pipeline":"triage"}'), change=change)

    def end(self, status: StatusChange) -> Batch:
        """Return the batch that ends the run."""
        return self.batch(
            self.event("run.ended", "", b'{"status":"%b"}' % status.status.encode()), change=status
        )

    def heir(self, token: str) -> "Scribe":
        """Return another owner, who has read the journal so far and means to carry it on."""
        other = Scribe(self.run_id, token)
        other.seq, other.head = self.seq, self.head
        other.at = self.at + 1_000  # what it writes differs from what this one goes on to write
        return other


def payload(content: bytes) -> tuple[bytes, bytes]:
    """Return a payload with its digest."""
    return sha256(content).digest(), content


def connection_of(store: SQLiteStore) -> sqlite3.Connection:
    """Return the connection that a store has written over."""
    assert store._writer is not None
    connection = store._writer._committer._connection
    assert connection is not None
    return connection

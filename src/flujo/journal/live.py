"""The live part of a journal: its events without those that a recorded composite covers."""

import re
from collections.abc import Iterable

from flujo.errors import ChainBroken
from flujo.journal.events import GENESIS, Event, follows
from flujo.journal.store import ENDED, RunRecord

_COVERS = frozenset({"node.completed", "turn"})
_LEVEL = re.compile(r"[/\[#]")


class LivePart:
    """Collects the live events of one run, which is handed in from the newest event back.

    A composite is recorded after everything inside it. So, read backwards, each cover is met before
    what it covers, and only the live events and the addresses of their covers are ever held. Every event
    is checked against its hash on the way, whether it is kept or not: nothing goes on from a journal that
    was changed.

    Args:
        record: The run's record, which names an event that must be there.
    """

    __slots__ = ("_covers", "_kept", "_nearest", "_next", "_record")

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._next: Event | None = None
        self._kept: list[Event] = []
        self._covers: set[str] = set()
        # What is below the cover met last: the next event is most often inside the same composite.
        self._nearest: tuple[str, str, str] | None = None

    def add(self, newest_first: Iterable[Event]) -> None:
        """Keep those of the events, newest first, that no cover met so far covers.

        Raises:
            ChainBroken: An event is missing or was changed.
        """
        after = self._next
        for event in newest_first:
            if after is None:
                if event.seq < self._record.seq:
                    named = self._record.seq
                    raise self._broken(event, f"is the last, but the run's record names event {named}")
            elif event.seq != after.seq - 1 or not follows(after, event.hash):
                raise self._broken(after, "does not match its hash, or the event before it is missing")
            else:
                self._keep(after)
            after = event
        self._next = after  # nothing is made of an event before the one before it vouches for it

    def events(self) -> list[Event]:
        """Return the live events, oldest first.

        Raises:
            ChainBroken: The first event is missing or was changed.
        """
        first = self._next
        if first is None:
            raise ChainBroken(f"run {self._record.run_id}: its journal is gone")
        if first.seq != 1 or first.kind != "run.started" or not follows(first, GENESIS):
            raise self._broken(first, "is not how the run began")
        self._keep(first)
        self._next = None
        return self._kept[::-1]

    def _keep(self, event: Event) -> None:
        if event.seq == self._record.seq:
            self._check_named(event)
        if self._covers and self._covered(event.address):
            return
        self._kept.append(event)
        if event.kind in _COVERS:
            self._covers.add(event.address)
            self._nearest = _below(event.address)

    def _check_named(self, event: Event) -> None:
        """Check the event that the run's record names: the last when its status changed."""
        if event.hash != self._record.hash:
            raise self._broken(event, "is not the event that the run's record names")
        if (event.kind == "run.ended") != (self._record.status in ENDED):
            raise self._broken(event, f"does not fit the status of the run, {self._record.status}")

    def _broken(self, event: Event, what: str) -> ChainBroken:
        place = f"{event.kind} at {event.address}" if event.address else event.kind
        return ChainBroken(f"run {event.run_id}: event {event.seq} ({place}) {what}")

    def _covered(self, address: str) -> bool:
        if self._nearest is not None and address.startswith(self._nearest):
            return True
        for level in _LEVEL.finditer(address):
            above = address[: level.start()]
            if above in self._covers:
                self._nearest = _below(above)
                return True
        return False


def _below(address: str) -> tuple[str, str, str]:
    return (f"{address}/", f"{address}[", f"{address}#")

"""The live part of a journal: its events without those that a recorded composite covers."""

import re
from collections.abc import Iterable

from flujo.journal.events import Event

_COVERS = frozenset({"node.completed", "turn"})
_LEVEL = re.compile(r"[/\[#]")


class LivePart:
    """Collects the live events of one run, which is handed in from the newest event back.

    A composite is recorded after everything inside it. So, read backwards, each cover is met before
    what it covers, and only the live events and the addresses of their covers are ever held.
    """

    __slots__ = ("_covers", "_kept", "_nearest")

    def __init__(self) -> None:
        self._kept: list[Event] = []
        self._covers: set[str] = set()
        # What is below the cover met last: the next event is most often inside the same composite.
        self._nearest: tuple[str, str, str] | None = None

    def add(self, newest_first: Iterable[Event]) -> None:
        """Keep those of the events, newest first, that no cover met so far covers."""
        kept, covers = self._kept, self._covers
        for event in newest_first:
            address = event.address
            if covers and self._covered(address):
                continue
            kept.append(event)
            if event.kind in _COVERS:
                covers.add(address)
                self._nearest = _below(address)

    def events(self) -> list[Event]:
        """Return the live events, oldest first."""
        return self._kept[::-1]

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

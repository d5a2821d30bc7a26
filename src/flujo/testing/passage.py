"""One passage through a test whose runs die at one append."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple

from flujo.journal.store import Batch, JournalStore
from flujo.testing.mortal import Mortal
from flujo.testing.outcome import Outcome


class CrashError(AssertionError):
    """A run that died did not come to what the undisturbed run came to."""


class Came(NamedTuple):
    """What one run of a passage through the test came to.

    Attributes:
        outcome: What came of it.
        outputs: What its steps gave, by address.
    """

    outcome: Outcome
    outputs: Mapping[str, Any]


class Passage:
    """One passage through a test: where it dies, and what its runs came to.

    Args:
        at: The append to die at, counted from 1 over all runs of the passage; 0 for never.
        death: Whether it dies before or after it.
        whole: The undisturbed passage.
    """

    def __init__(
        self, at: int = 0, death: Literal["before", "after"] = "before", whole: Passage | None = None
    ) -> None:
        self.at = at
        self.death: Literal["before", "after"] = death
        self.whole = whole
        self.appends = 0
        self.runs: list[Came] = []
        self.died_at: Batch | None = None

    def store(self, inner: JournalStore) -> Mortal:
        """Return a store for the next life: one that dies here, or one that lives."""
        left = self.at - self.appends
        return Mortal(inner, left if left > 0 and self.died_at is None else 0, self.death)

    def undisturbed(self) -> Came | None:
        """Return what the next run came to in the undisturbed passage; None in that passage itself.

        Raises:
            CrashError: It had no such run.
        """
        if self.whole is None:
            return None
        if len(self.runs) == len(self.whole.runs):
            raise CrashError(f"the test carried more than its {len(self.runs)} runs after the crash")
        return self.whole.runs[len(self.runs)]

    def __enter__(self) -> Passage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self.died_at is not None:
            error.add_note(self.where)

    @property
    def where(self) -> str:
        """Where it died, in words."""
        if self.died_at is None or self.whole is None:
            return "nothing died"
        events = ", ".join(
            f"{event.seq} {event.kind}" + (f" at {event.address!r}" if event.address else "")
            for event in self.died_at.events
        )
        return f"The process died {self.death} append {self.at} of {self.whole.appends}: event {events}."

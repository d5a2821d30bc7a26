"""The journal: events, the chain of hashes that binds them, and the stores that keep them."""

from flujo.journal.events import GENESIS, Event, EventKind, link
from flujo.journal.store import (
    Batch,
    JournalStore,
    RunPage,
    RunQuery,
    RunRecord,
    RunStatus,
    StatusChange,
)
from flujo.journal.verify import Finding, Report, verify, verify_all

__all__ = [
    "GENESIS",
    "Batch",
    "Event",
    "EventKind",
    "Finding",
    "JournalStore",
    "Report",
    "RunPage",
    "RunQuery",
    "RunRecord",
    "RunStatus",
    "StatusChange",
    "link",
    "verify",
    "verify_all",
]

"""What a journal holds: events, and the chain of hashes that binds them."""

from hashlib import sha256
from typing import Literal, NamedTuple

EventKind = Literal[
    "run.started",
    "run.upgraded",
    "run.resumed",
    "run.paused",
    "run.ended",
    "step.started",
    "step.reserved",
    "step.attempt",
    "step.completed",
    "step.discarded",
    "mutated",
    "node.completed",
    "choice",
    "turn",
    "request",
    "approval",
    "answer",
    "effect.started",
    "effect",
    "policies",
    "verdict",
    "timer",
    "undone",
    "revised",
    "labelled",
    "declassified",
]

GENESIS = bytes(32)
"""The hash that stands before the first event of a run."""


class Event(NamedTuple):
    """One thing that happened in a run, exactly as it is stored.

    Attributes:
        run_id: The run it belongs to.
        seq: Its place in the run, from 1, without gaps.
        kind: What happened.
        address: Where in the plan; empty for the run itself.
        at: When, in microseconds since the Unix epoch (UTC), stamped by the writer.
        body: The details: the exact bytes of one JSON object.
        hash: SHA-256 over the previous event's hash, this event's header and its body.
    """

    run_id: str
    seq: int
    kind: EventKind
    address: str
    at: int
    body: bytes
    hash: bytes


def link(previous: bytes, run_id: str, seq: int, kind: str, address: str, at: int, body: bytes) -> bytes:
    """Return the hash of an event that follows the event hashed ``previous``."""
    header = f"{run_id}\n{seq}\n{kind}\n{address}\n{at}\n".encode()
    return sha256(previous + header + body).digest()


def follows(event: Event, previous: bytes) -> bool:
    """Tell whether an event is what its hash says, after the event hashed ``previous``."""
    run_id, seq, kind, address, at, body, digest = event
    try:
        return link(previous, run_id, seq, kind, address, at, body) == digest
    except (TypeError, ValueError):  # a damaged store may give back a value of another type
        return False

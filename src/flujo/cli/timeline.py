"""What happened in a run, in words: one line for what matters of each event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flujo.cli.reading import body_of
from flujo.cli.text import brief, duration, local, moment
from flujo.journal.events import Event
from flujo.pipeline.mutation import Change


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a timeline.

    Attributes:
        after: How long after the run's beginning.
        what: What happened.
        address: Where.
        took: How long it took; empty where that means nothing.
        details: What else is worth knowing.
    """

    after: str
    what: str
    address: str
    took: str
    details: str


def timeline(events: Sequence[Event]) -> list[Row]:
    """Return what happened, in order."""
    begun = events[0].at if events else 0
    rows: list[Row] = []
    for event in events:
        body = body_of(event)
        what, details = _told(event, body)
        took = duration(body["took"] / 1e6) if "took" in body else ""
        rows.append(Row(f"+{duration((event.at - begun) / 1e6)}", what, event.address, took, details))
    return rows


def _told(event: Event, body: dict[str, Any]) -> tuple[str, str]:
    """Return the word for an event, and what is worth knowing of it."""
    if event.kind == "run.ended":
        return f"run {body.get('status', 'ended')}", _ending(body)
    details = _DETAILS.get(event.kind, _value)
    return _WORDS.get(event.kind, event.kind), details(body)


def _ending(body: dict[str, Any]) -> str:
    error: dict[str, str] = body.get("error") or {}
    said: str = error.get("message") or body.get("reason") or ""
    return brief(said, 120) if said else _value(body)


def _step(body: dict[str, Any]) -> str:
    return " ".join(filter(None, (_value(body), _attempts(body), _usage(body))))


def _failed_attempt(body: dict[str, Any]) -> str:
    again = "" if body.get("again") else ", gave up"
    return f"{body.get('attempt')}: {brief(body.get('text', ''))}{again}"


def _decided(body: dict[str, Any]) -> str:
    """Return what was decided, by whom, by which way, why, and what was answered."""
    by = f" by {body['actor']}" if body.get("actor") else ""
    channel = f" ({body['channel']})" if body.get("channel") else ""
    reason = f": {brief(body['reason'])}" if body.get("reason") else ""
    value = f" = {brief(body.get('value'), 40)}" if body.get("action") == "edit" else ""
    return f"{body.get('action', '')}{by}{channel}{reason}{value}"


def _value(body: dict[str, Any]) -> str:
    if "output" in body:
        return brief(body["output"])
    return "(a large value)" if "output_ref" in body or "parts" in body else ""


def _attempts(body: dict[str, Any]) -> str:
    many = body.get("attempts", 1)
    return "(cached)" if body.get("cached") else f"({many} attempts)" if many > 1 else ""


def _usage(body: dict[str, Any]) -> str:
    usage = body.get("usage")
    if not usage:
        return ""
    requests, sent, received, cost, *_ = usage
    return f"[{requests} requests, {sent}+{received} tokens, ${cost}]"


def operations(body: dict[str, Any]) -> list[str]:
    """Return what a mutation asked for, in words."""
    return [str(Change.of(one)) for one in body["operations"]]


_WORDS: dict[str, str] = {
    "run.started": "run begins",
    "run.upgraded": "run carried over",
    "run.resumed": "run goes on",
    "run.paused": "run waits",
    "step.completed": "step",
    "step.attempt": "attempt failed",
    "step.started": "step begins",
    "effect.started": "effect begins",
    "step.reserved": "reserves",
    "step.discarded": "given up",
    "mutated": "changes the pipeline",
    "node.completed": "all of it",
    "request": "asks",
    "timer": "waits",
    "revised": "changed for the fork",
    "signal": "event",
    "policies": "judged by",
    "labelled": "holds",
    "declassified": "declassifies",
}
_DETAILS: dict[str, Callable[[dict[str, Any]], str]] = {
    "run.upgraded": lambda body: f"to the plan {body.get('fingerprint', '')[:12]}",
    "run.resumed": lambda body: body.get("owner", ""),
    "run.paused": lambda body: "",
    "policies": lambda body: f"{body['policy']} {body['version'][:12]}, {body['mode']}",
    "labelled": lambda body: ", ".join(body.get("labels", ())),
    "declassified": lambda body: f"{', '.join(body['labels'])}: {brief(body['reason'])}",
    "step.completed": _step,
    "step.attempt": _failed_attempt,
    "step.started": lambda body: f"attempt {body.get('attempt', 1)}",
    "step.reserved": lambda body: f"attempt {body['attempt']} on {', '.join(body['reserved'])}",
    "step.discarded": lambda body: body.get("why", ""),
    "mutated": lambda body: brief("; ".join(operations(body)), 160),
    "turn": lambda body: f"{_value(body)}{', the last' if body.get('last') else ''}",
    "request": lambda body: brief(body.get("prompt", "")),
    "answer": _decided,
    "effect": lambda body: f"{body.get('call', '')} = {_value(body)}",
    "timer": lambda body: f"until {local(moment(body['due']))}" if "due" in body else "",
    "undone": lambda body: body.get("failed", "") or body.get("because", ""),
}

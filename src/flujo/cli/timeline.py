"""What happened in a run, in words: one line for what matters of each event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flujo.cli.reading import body_of
from flujo.cli.text import brief, duration, local, moment
from flujo.journal.events import Event


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
    match event.kind:
        case "run.started":
            return "run begins", _value(body)
        case "run.resumed":
            return "run goes on", body.get("owner", "")
        case "run.ended":
            error = body.get("error") or {}
            said = error.get("message", "") or body.get("reason", "")
            return f"run {body.get('status', 'ended')}", brief(said, 120) if said else _value(body)
        case "step.completed":
            return "step", " ".join(filter(None, (_value(body), _attempts(body), _usage(body))))
        case "step.attempt":
            again = "" if body.get("again") else ", gave up"
            return "attempt failed", f"{body.get('attempt')}: {body.get('error')}: {brief(body.get('message', ''))}{again}"
        case "step.started":
            return "step begins", f"attempt {body.get('attempt', 1)}"
        case "step.discarded":
            return "given up", "the thread may go on; its result is discarded"
        case "choice":
            return "choice", _value(body)
        case "turn":
            return "turn", f"{_value(body)}{', the last' if body.get('last') else ''}"
        case "node.completed":
            return "all of it", _value(body)
        case "request":
            return "asks", brief(body.get("prompt", ""))
        case "answer":
            return "answer", _decided(body)
        case "effect":
            return "effect", f"{body.get('call', '')} = {_value(body)}"
        case "timer":
            return "waits", f"until {local(moment(body['due']))}" if "due" in body else ""
        case "signal":
            return "event", _value(body)
        case "undone":
            return "undone", body.get("failed", "") or body.get("because", "")


def _decided(body: dict[str, Any]) -> str:
    """Return what was decided, by whom, by which way, and why."""
    said = body.get("action", "")
    if said == "edit":
        said = f"answered {brief(body.get('value'), 40)}"
    by = f" by {body['actor']}" if body.get("actor") else ""
    channel = f" ({body['channel']})" if body.get("channel") else ""
    reason = f": {brief(body['reason'])}" if body.get("reason") else ""
    return f"{said}{by}{channel}{reason}"


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
    requests, sent, received, cost = usage
    return f"[{requests} requests, {sent}+{received} tokens, ${cost}]"

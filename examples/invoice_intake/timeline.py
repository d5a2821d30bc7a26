"""A run's timeline, read from its journal: what happened when, and how long it took."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from flujo.journal.events import Event

#: A pause is drawn as wide as this share of the work, however long it was.
WIDEST_PAUSE = 0.12

Kind = Literal["step", "wait", "mark", "trouble"]


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that happened.

    Attributes:
        label: What.
        kind: A step, a wait for somebody, a mark, or something that went wrong.
        begun: When it began, in microseconds since the Unix epoch.
        ended: When it ended.
        note: What else is worth knowing.
    """

    label: str
    kind: Kind
    begun: int
    ended: int
    note: str = ""

    @property
    def took(self) -> str:
        """How long it took, in words; empty for a moment."""
        return duration(self.ended - self.begun) if self.ended > self.begun else ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A span with its place on the axis, in percent."""

    span: Span
    left: float
    width: float


def timeline(events: Sequence[Event]) -> list[Bar]:
    """Return what happened in a run, in the order it began, placed on an axis where pauses are cut short."""
    spans = sorted(_spans(events), key=lambda span: span.begun)
    if not spans:
        return []
    axis = _Axis(spans)
    return [
        Bar(span, axis.place(span.begun), max(axis.place(span.ended) - axis.place(span.begun), 0.0))
        for span in spans
    ]


def duration(microseconds: int) -> str:
    """Return a duration as people say it."""
    if microseconds < 100_000:
        return f"{microseconds / 1e3:.1f} ms"
    if microseconds < 60_000_000:
        return f"{microseconds / 1e6:.2f} s"
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def _spans(events: Sequence[Event]) -> Iterator[Span]:
    asked: dict[str, int] = {}
    first, last = events[0].at if events else 0, 0
    for event in events:
        body: dict[str, Any] = json.loads(event.body)
        if event.kind == "request":
            asked[event.address] = event.at
        elif event.kind == "answer":
            yield Span(event.address, "wait", asked.pop(event.address, event.at), event.at, _answer(body))
        elif event.kind == "step.completed":
            note = f"{body['attempts']} attempts" if "attempts" in body else ""
            yield Span(event.address, "step", max(first, event.at - body["took"]), event.at, note)
        elif event.kind == "run.resumed":
            idle = duration(event.at - last)
            yield Span(
                "run goes on", "mark", event.at, event.at, f"from its journal, {idle} after the last event"
            )
        else:
            yield from _moment(event, body)
        last = event.at
    for address, at in asked.items():
        yield Span(address, "wait", at, last, "waits for a decision")


def _moment(event: Event, body: dict[str, Any]) -> Iterator[Span]:
    """Yield what takes no time."""
    at, address = event.at, event.address
    match event.kind:
        case "run.started":
            yield Span("run begins", "mark", at, at)
        case "run.ended":
            yield Span(f"run {body['status']}", "mark", at, at)
        case "step.attempt":
            yield Span(
                address, "trouble", at, at, f"attempt {body.get('attempt', '')}: {body.get('text', '')}"
            )
        case "effect":
            given = json.dumps(body.get("output"), ensure_ascii=False)
            yield Span(address, "mark", at, at, f"recorded once: {body['call']} gave {given}")
        case "choice":
            yield Span(address, "mark", at, at, f"chose {body['output']}")
        case "undone":
            yield Span(address or "undoing", "trouble", at, at, body.get("failed") or "undone")
        case _:
            pass


def _answer(body: dict[str, Any]) -> str:
    """Return who decided what, and why."""
    value: Any = body["value"]
    action = body["action"]
    if action == "edit" and isinstance(value, dict) and "action" in value:
        action = str(cast("dict[str, Any]", value)["action"])
    because = f": {body['reason']}" if body["reason"] else ""
    return f"{body['actor'] or 'a person'} ({body['channel']}): {action}{because}"


class _Axis:
    """Maps time to percent: work is drawn true to scale, what lies between is cut short."""

    def __init__(self, spans: Sequence[Span]) -> None:
        busy = _merged([(one.begun, one.ended) for one in spans if one.kind != "wait"])
        work = sum(end - begin for begin, end in busy) or 1
        longest = WIDEST_PAUSE * work
        at, self._points = 0.0, list[tuple[int, float]]()
        for index, (begin, end) in enumerate(busy):
            if index:
                at += min(begin - busy[index - 1][1], longest)
            self._points.append((begin, at))
            at += end - begin
            self._points.append((end, at))
        latest = max(one.ended for one in spans)
        if latest > self._points[-1][0]:
            self._points.append((latest, at + longest))
        self._whole = self._points[-1][1] or 1.0

    def place(self, moment: int) -> float:
        """Return where a moment is, in percent."""
        before = self._points[0]
        for point in self._points:
            if moment <= point[0]:
                left = (point[0] - moment) / (point[0] - before[0]) if point[0] > before[0] else 0.0
                return 100 * ((point[1] - left * (point[1] - before[1])) / self._whole)
            before = point
        return 100.0


def _merged(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the intervals in order, those that touch joined."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged

"""A run as people watch it: a live tree on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from time import monotonic
from typing import Any, Protocol

from pydantic_core import from_json, to_json
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from flujo.cli.outcome import result_json, step_json
from flujo.cli.output import Fault, clean, emit_json, note, speaks_unicode
from flujo.cli.progress import Place, Progress
from flujo.cli.text import brief, duration
from flujo.engine.result import (
    Chunk,
    Finished,
    Paused,
    RunEvent,
    RunStarted,
    StepCompleted,
    StepGaveUp,
    StepRetrying,
    StepStarted,
    ToolCalled,
)

REFRESH = 0.1
MANY = 8

_MARKS = {"ahead": "·", "running": "▸", "waiting": "?", "done": "✓", "failed": "✗", "stopped": "-"}
_PLAIN_MARKS = {"ahead": ".", "running": ">", "waiting": "?", "done": "+", "failed": "x", "stopped": "-"}
_STYLES = {
    "ahead": "dim",
    "running": "cyan",
    "waiting": "yellow",
    "done": "green",
    "failed": "bold red",
    "stopped": "dim red",
}


class Watch(Protocol):
    """Something that is told what happens in a run."""

    def see(self, event: RunEvent) -> None:
        """Take in what happened."""
        ...

    def tick(self) -> None:
        """Take in that time has passed."""
        ...

    def close(self) -> None:
        """Show the last state, and nothing from now on."""
        ...


class Silent:
    """Watches and says nothing."""

    def see(self, event: RunEvent) -> None:
        """Take in what happened."""

    def tick(self) -> None:
        """Take in that time has passed."""

    def close(self) -> None:
        """Say nothing."""


class JsonLines(Silent):
    """Prints each event as one line of JSON on stdout; the result is printed by who asked for it."""

    def see(self, event: RunEvent) -> None:
        """Print what happened."""
        if not isinstance(event, Finished):
            emit_json(event_json(event), line=True)


class Lines(Silent):
    """Prints a line on stderr for each step that ended, failed or waits."""

    def __init__(self) -> None:
        self._marks = _MARKS if speaks_unicode(sys.stderr) else _PLAIN_MARKS

    def see(self, event: RunEvent) -> None:
        """Print what happened."""
        match event:
            case StepCompleted(result=result):
                more = (
                    "  cached"
                    if result.cached
                    else f"  {result.attempts} attempts"
                    if result.attempts > 1
                    else ""
                )
                self._line("done", result.address, f"{duration(result.duration)}{more}")
            case StepRetrying():
                wait = f", again in {duration(event.wait)}" if event.wait else ""
                self._line(
                    "running", event.address, f"attempt {event.attempt} failed: {brief(event.error)}{wait}"
                )
            case StepGaveUp():
                self._line("failed", event.address, "failed")
            case Paused():
                for request in event.pending:
                    self._line("waiting", request.address, brief(request.prompt))
            case RunStarted() | StepStarted() | Chunk() | ToolCalled() | Finished():
                return

    def _line(self, state: str, address: str, said: str) -> None:
        note(f"{self._marks[state]} {clean(address)}  {said}")


class LiveTree:
    """Shows the tree of steps on a terminal and keeps it current.

    It is drawn by the thread that runs the steps, so that it never sees half a change.
    """

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._drawn = 0.0
        self._marks = _MARKS if speaks_unicode(sys.stderr) else _PLAIN_MARKS
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()

    def see(self, event: RunEvent) -> None:
        """Take in what happened; it is drawn at once only where nothing was drawn for a moment."""
        self._progress.see(event)
        if monotonic() - self._drawn > REFRESH:
            self.tick()

    def tick(self) -> None:
        """Draw the tree as it stands."""
        self._drawn = monotonic()
        self._live.update(self._tree(self._console.height - 2), refresh=True)

    def close(self) -> None:
        """Draw the tree a last time and leave it on the screen."""
        self._progress.stop(completed=False)
        self._live.update(self._tree(max(60, self._console.height - 2)), refresh=True)
        self._live.stop()

    def _tree(self, height: int) -> RenderableType:
        """Return the tree, with less of what is over or ahead where the terminal is too low."""
        root = self._progress.root
        lines = list(self._lines(root, "", folded=False))
        if len(lines) + 1 > height:
            lines = list(self._lines(root, "", folded=True))
        if len(lines) + 1 > height:
            active = [line for line in lines if line[1]]
            lines = (active or lines)[-(height - 2) :]
            lines.insert(0, (Text("…", style="dim"), False))
        return Text("\n", no_wrap=True, overflow="ellipsis").join(
            [self._head(), *(line for line, _ in lines)]
        )

    def _head(self) -> Text:
        progress = self._progress
        said = f"  {progress.done} done" + (f", {progress.running} running" if progress.running else "")
        return Text.assemble(
            (clean(progress.root.label), "bold"), (f"{said}, {duration(monotonic() - progress.begun)}", "dim")
        )

    def _lines(self, place: Place, indent: str, *, folded: bool) -> Iterator[tuple[Text, bool]]:
        """Yield the lines of what is in a place, each with whether it is being worked on."""
        parts = place.shown()
        if len(parts) > MANY and place.kind in ("map", "loop", ""):
            parts = [part for part in parts if part.standing not in ("done", "ahead")] or parts[-1:]
        for part in parts:
            label, part = _joined(part, place.kind)
            standing = part.standing
            yield self._line(part, label, indent), standing in ("running", "waiting", "failed")
            if not (folded and standing in ("done", "ahead")):
                yield from self._lines(part, indent + "  ", folded=folded)

    def _line(self, part: Place, label: str, indent: str) -> Text:
        standing = part.standing
        line = Text(f"{indent}", no_wrap=True)
        line.append(f"{self._marks[standing]} ", _STYLES[standing])
        line.append(clean(label), "dim" if standing == "ahead" else "")
        over = sum(inner.standing == "done" for inner in part.inside.values())
        if part.inside and part.kind in ("map", "loop"):
            line.append(f"  {over} done", "dim")
        if standing == "running" and part.begun:
            line.append(f"  {duration(monotonic() - part.begun)}", "cyan")
        elif part.took is not None:
            line.append(f"  {duration(part.took)}", "dim")
        if part.note:
            line.append(f"  {brief(part.note)}", "yellow" if standing in ("waiting", "running") else "dim")
        return line


def _joined(place: Place, within: str) -> tuple[str, Place]:
    """Return a place with the label that leads to it: a lane that holds one step is told with it."""
    label = f"turn {place.label.strip('[]')}" if within == "loop" else place.label
    while not place.kind and place.state == "ahead" and len(place.inside) == 1:
        (inner,) = place.inside.values()
        place, label = inner, f"{label}: {inner.label}"
    return label, place


def event_json(event: RunEvent) -> dict[str, Any]:
    """Return an event as JSON, under a word for what it is."""
    match event:
        case RunStarted():
            return {"event": "run.started", "run_id": event.run_id, "resumed": event.resumed}
        case StepStarted():
            return {
                "event": "step.started",
                "run_id": event.run_id,
                "address": event.address,
                "name": event.name,
            }
        case StepRetrying():
            return {
                "event": "step.retrying",
                "run_id": event.run_id,
                "address": event.address,
                "attempt": event.attempt,
                "error": event.error,
                "wait": event.wait,
            }
        case Chunk(value=value):
            return {
                "event": "chunk",
                "run_id": event.run_id,
                "address": event.address,
                "value": _json(value),
            }
        case ToolCalled(arguments=arguments):
            return {
                "event": "tool.called",
                "run_id": event.run_id,
                "address": event.address,
                "tool": event.tool,
                "arguments": _json(dict(arguments)),
            }
        case StepCompleted():
            return {"event": "step.completed", "run_id": event.run_id, **step_json(event.result)}
        case StepGaveUp():
            error = Fault.of(event.error).envelope()
            return {"event": "step.failed", "run_id": event.run_id, "address": event.address, "error": error}
        case Paused():
            return {"event": "paused", "run_id": event.run_id, "pending": list(event.pending)}
        case Finished():
            return {"event": "finished", **result_json(event.result)}


def _json(value: object) -> Any:
    """Return a value that need not be recordable as JSON, as well as it can be told."""
    return from_json(to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=repr))

"""What a run did so far, as policies look back at it: from its journal, and what is not committed yet."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from flujo.engine.run import Run
from flujo.journal.verify import PAGE
from flujo.pipeline.policy import NO_LABELS, Deed

_NUMBER = re.compile(r"\[\d+\]|-\d+$")
_ENDS = ("step.completed", "node.completed")


class Deeds:
    """What one run did so far.

    Attributes:
        turn: Held while something is judged by a policy that looks back.
    """

    def __init__(self, run: Run) -> None:
        self.turn = asyncio.Lock()
        self._run = run
        self._seq = 0
        self._known: list[Deed] = []
        self._holds: dict[str, frozenset[str]] = {}

    async def so_far(self) -> Sequence[Deed]:
        """Return what the run did, in the order it was recorded.

        Raises:
            StoreError: The journal cannot be read.
        """
        recorder = self._run.recorder
        if recorder is None:
            return list(self._live())
        await recorder.commit(sure=True)
        while True:
            page = await recorder.store.events(self._run.id, after=self._seq, limit=PAGE)
            for event in page:
                self._seq = event.seq
                if event.kind == "labelled":
                    self._holds[event.address] = frozenset(from_json(event.body).get("labels", ()))
                deed = _deed(event.kind, event.address, event.at, event.body)
                if deed is not None:
                    holds = self._holds.pop(event.address, NO_LABELS) if deed.kind == "step" else NO_LABELS
                    self._known.append(deed._replace(labels=deed.labels | holds))
            if len(page) < PAGE:
                return self._known

    def _live(self) -> Iterator[Deed]:
        """Yield what a run without a store did: steps that ended, and what was judged or answered."""
        run = self._run
        if run.labels is not None and run.labels.begun:
            yield Deed("input", "", "", 0, run.labels.begun)
        told = [
            (address, note)
            for notes in (run.notes, run.live_notes)
            for address, known in notes.items()
            for note in known
        ]
        noted = [(address, note.body) for address, note in told if note.kind == "labelled"]
        holds = {address: frozenset[str](body.get("labels", ())) for address, body in noted}
        for step in run.all_steps():
            labels = holds.get(step.address, NO_LABELS)
            yield Deed("step", name_of(step.address), step.address, 0, labels)
        tools = {address: note.body["tool"] for address, note in told if "tool" in note.body}
        for address, note in told:
            body = {"call": tools[address], **note.body} if address in tools else note.body
            deed = _told(note.kind, address, body.get("now", 0), body)
            if deed is not None:
                yield deed


def name_of(address: str) -> str:
    """Return the name of what stands at an address: of the node, or of the effect inside it."""
    return _NUMBER.sub("", address.rpartition("#")[2].rpartition("/")[2])


def _deed(kind: str, address: str, at: int, body: bytes) -> Deed | None:
    if kind in _ENDS:
        return Deed("step", name_of(address), address, at, NO_LABELS)
    if kind == "run.started":
        holds: Mapping[str, Sequence[str]] = from_json(body).get("holds", {})
        labels = frozenset(label for given in holds.values() for label in given)
        return Deed("input", "", "", at, labels) if labels else None
    return _told(kind, address, at, from_json(body)) if kind in ("effect", "verdict", "answer") else None


def _told(kind: str, address: str, at: int, body: Mapping[str, Any]) -> Deed | None:
    """Return what an event on the way tells that was done."""
    match kind:
        case "effect":
            name = name_of(address)
            return Deed("tool", body.get("call", name) if name == "tool" else name, address, at, NO_LABELS)
        case "verdict" if body["point"] == "before_tool" and body["verdict"] not in ("deny", "escalate"):
            return Deed("allowed", body["tool"], address, at, frozenset(body.get("labels", ())))
        case "answer" if body["action"] in ("approve", "edit"):
            return Deed("answer", name_of(address), address, at, NO_LABELS)
        case _:
            return None

"""Composites: what holds other nodes is recorded with its value when it is over."""

from __future__ import annotations

from typing import Any

from flujo.engine.build import Build
from flujo.engine.record import Memo, read_output, write_usage
from flujo.engine.run import Frame
from flujo.errors import RecordError
from flujo.journal.events import EventKind
from flujo.pipeline.info import Usage
from flujo.plan.codec import Codec, Unrecordable, join
from flujo.plan.nodes import PlanNode


class Composite:
    """How one composite is recorded, and how a recorded one is passed by.

    A recorded composite is not entered again: its event carries its output, what it used, what it
    changed in the context, and the outputs inside it that later steps name.

    Args:
        plan: The composite.
        codec: How its output is recorded.
        build: What the runner's walks are compiled with.
    """

    def __init__(self, plan: PlanNode, codec: Codec | None, build: Build) -> None:
        self._codec = codec
        self._tracks = build.tracks
        exported = build.plan.exports.get(plan.path, ())
        self._exports = {path: build.codec(build.plan.nodes[path].output_type) for path in exported}

    async def known(self, frame: Frame, address: str) -> Memo | None:
        """Return what the journal knows of the composite at an address, taken into the frame."""
        run = frame.run
        if not run.done or (known := run.done.get(address)) is None:
            return None
        if isinstance(known, bytes):
            assert run.recorder is not None
            assert self._codec is not None
            memo = await run.recorder.recorded(known, self._codec, address)
            slots: dict[str, Any] = {
                path: read_output(codec, memo.slots[path], path)
                for path, codec in self._exports.items()
                if codec is not None and path in memo.slots
            }
            memo = memo._replace(slots=slots)
            if memo.patch:
                frame.replay(memo.patch)
        else:
            memo = known
        frame.slots.update(memo.slots)
        if memo.usage:
            frame.used(memo.usage)
        if self._tracks and run.labels is not None:
            from flujo.engine.labels import recalled

            recalled(frame, address)
        return memo

    def ended(
        self,
        frame: Frame,
        address: str,
        output: Any,
        *,
        kind: EventKind = "node.completed",
        usage: Usage | None = None,
        patch: bytes | None = None,
        last: bool = False,
    ) -> None:
        """Record a composite that is over.

        Args:
            frame: The place it stands in.
            address: Its address.
            output: What it gave.
            kind: ``node.completed``, or ``turn`` for a loop's turn.
            usage: What was used inside it.
            patch: What was changed inside it.
            last: For a turn: whether the loop ends with it.

        Raises:
            RecordError: Its output cannot be recorded.
        """
        run = frame.run
        if self._tracks and run.labels is not None:
            from flujo.engine.labels import closed

            closed(frame, address, self._exports)
        if run.recorder is None or self._codec is None:
            slots = {path: frame.slots[path] for path in self._exports if path in frame.slots}
            run.choices[address] = Memo(output, usage or Usage(), slots=slots, last=last)
            return
        body = b"{" + run.recorder.member(output, self._codec, address)
        if usage:
            body += b',"usage":' + write_usage(usage)
        if patch is not None:
            body += b',"patch":' + patch
        if self._exports:
            body += b',"slots":' + self._slots(frame, address)
        if last:
            body += b',"last":true'
        run.recorder.append(kind, address, body + b"}")

    def _slots(self, frame: Frame, address: str) -> bytes:
        try:
            return join(
                {
                    path: codec.dump(frame.slots[path])
                    for path, codec in self._exports.items()
                    if codec is not None and path in frame.slots
                }
            )
        except Unrecordable as error:
            raise RecordError(error.message, step=address, address=address, fix=error.fix) from error

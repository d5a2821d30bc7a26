"""A run as a file beside the tests: recorded once for real, then replayed against today's code."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

from flujo.engine.differences import ReplayReport
from flujo.engine.runner import Flujo
from flujo.errors import ConfigError, PlanChanged
from flujo.journal.events import GENESIS, Event, EventKind, link
from flujo.journal.memory import MemoryStore
from flujo.journal.store import Batch, JournalStore, RunStatus, StatusChange
from flujo.journal.verify import references
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.node import Node
from flujo.pipeline.waits import Approval
from flujo.testing.carrying import Answer, carry_on
from flujo.testing.clock import VirtualClock

FORMAT = 1
_VARIES = frozenset({"took"})
"""What differs from run to run without meaning anything: how long a step took."""


class ReplayError(AssertionError):
    """A recorded run does not replay equal on today's code."""


class Recordings:
    """Recorded runs in a folder, each in a file of JSON lines.

    Args:
        folder: Where the files are.
        anew: Whether runs are carried out and recorded, rather than replayed.
        clock: The clock of runs that are recorded.
    """

    def __init__(self, folder: Path, *, anew: bool, clock: VirtualClock) -> None:
        self.folder = folder
        self.anew = anew
        self._clock = clock

    async def check(
        self,
        name: str,
        pipeline: Node[Any, Any],
        input: Any,
        *,
        answer: Callable[[Approval], Answer | None] = lambda request: None,
        context: PipelineContext | None = None,
        context_model: type[PipelineContext] | None = None,
    ) -> ReplayReport:
        """Replay a recorded run on the pipeline as it is now; or carry it out and record it.

        Args:
            name: The recording's name, and the run's.
            pipeline: The pipeline.
            input: What the run begins with, while it is recorded.
            answer: Answers what it asks, while it is recorded.
            context: What it begins with, while it is recorded.
            context_model: The class of its context.

        Raises:
            ReplayError: Something comes out otherwise, or is asked for otherwise, than was recorded.
            ConfigError: Nothing was recorded under this name, or the file cannot be read.
        """
        file = self.folder / f"{name}.jsonl"
        if self.anew:
            store = MemoryStore()
            runner = Flujo(pipeline, context_model=context_model, state=store, clock=self._clock)
            await carry_on(runner, name, input, answer, clock=self._clock, context=context)
            await write(file, store, name)
        elif not file.is_file():
            raise ConfigError(f"there is no recording {file}", fix="record it: pytest --flujo-record")
        store, run_id = await read(file)
        return await _replayed(Flujo(pipeline, context_model=context_model, state=store), run_id, file)


async def _replayed(runner: Flujo[Any, Any], run_id: str, file: Path) -> ReplayReport:
    again = "where this is meant, record it anew: pytest --flujo-record"
    try:
        report = await runner.replay(run_id)
    except PlanChanged as error:
        raise ReplayError(f"{file.name}: {error.message}\n{again}") from None
    if not report.equal:
        values = "".join(
            f"\n    {one.address or 'the run'}: recorded {one.recorded!r}, now {one.now!r}"
            for one in report.differences
        )
        raise ReplayError(f"{file.name}: {report}\n  values:{values}\n{again}")
    return report


async def write(file: Path, store: JournalStore, run_id: str) -> None:
    """Write a run's journal to a file; the same run gives the same bytes.

    The first line names the run. Each further one is an event, or a large value, after the event that first
    stands on it. Everything that the run recorded is in there, inputs and outputs included.
    """
    record = await store.run(run_id)
    assert record is not None
    lines: list[dict[str, Any]] = [
        {
            "flujo_recording": FORMAT,
            "run_id": run_id,
            "pipeline": record.pipeline,
            "fingerprint": record.fingerprint,
            "status": record.status,
        }
    ]
    seen: set[str] = set()
    for event in await store.events(run_id):
        body: dict[str, Any] = json.loads(event.body)
        steady = {name: value for name, value in body.items() if name not in _VARIES}
        if event.kind == "answer":
            steady["at"] = event.at  # a Decision carries the machine's time
        if event.kind == "run.resumed":
            steady["owner"] = ""
        lines.append({"kind": event.kind, "address": event.address, "at": event.at, "body": steady})
        for digest in references(event.body):
            if digest not in seen:
                seen.add(digest)
                lines.append(_payload(digest, await store.payload(bytes.fromhex(digest))))
    _write(file, "".join(f"{_dumped(line)}\n" for line in lines))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


async def read(file: Path) -> tuple[MemoryStore, str]:
    """Return a store that holds the run of a file and nothing else, and the run's id.

    Raises:
        ConfigError: It is no recording, or one of another format.
    """
    head, *lines = [*_parsed(file)] or [{}]
    if head.get("flujo_recording") != FORMAT:
        raise ConfigError(
            f"{file} is no recording of format {FORMAT}", fix="record it anew: pytest --flujo-record"
        )
    run_id, previous, events = cast("str", head["run_id"]), GENESIS, list[Event]()
    payloads: list[tuple[bytes, bytes]] = []
    for line in lines:
        if "payload" in line:
            text: str = line["text"] if "text" in line else _dumped(line["value"])
            payloads.append((bytes.fromhex(line["payload"]), text.encode()))
            continue
        kind, address, at = cast("EventKind", line["kind"]), line["address"], line["at"]
        body, seq = _dumped(line["body"]).encode(), len(events) + 1
        previous = link(previous, run_id, seq, kind, address, at, body)
        events.append(Event(run_id, seq, kind, address, at, body, previous))
    store = MemoryStore()
    change = StatusChange(cast("RunStatus", head["status"]), "", head["pipeline"], head["fingerprint"])
    await store.submit(Batch(run_id, "recording", events, change, payloads))
    return store, run_id


def _parsed(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield json.loads(line)
        except ValueError as error:
            raise ConfigError(
                f"{file}:{number} is no JSON: {error}", fix="record it anew: pytest --flujo-record"
            ) from None


def _payload(digest: str, written: bytes) -> dict[str, Any]:
    """Return the line of a large value: as JSON where that gives its exact bytes back, for its hash."""
    text = written.decode()
    value = json.loads(text)
    same = _dumped(value) == text
    return {"payload": digest, "value": value} if same else {"payload": digest, "text": text}


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

"""Runs of one agent on SQLite, as a user makes them."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_ai.models import Model

from flujo import Flujo, PipelineResult, Quota, SQLiteStore, Step
from flujo.agents import make_agent_async
from flujo.engine.result import Chunk, Finished
from flujo.journal.events import Event
from flujo.testing import VirtualClock
from tests.wire.protocols import KEY


class Invoice(BaseModel):
    number: str
    total: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Desk:
    """A store and a clock, and the runs that are made on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = VirtualClock()

    async def stream(
        self, model: Model, again: int = 1, quota: Quota | None = None, **settings: Any
    ) -> tuple[list[str], PipelineResult[Any]]:
        """Have an agent answer as it goes; return the pieces and the result."""
        agent = await make_agent_async(model, "Be exact.", **settings)
        store = SQLiteStore(self.folder / "flujo_ops.db")
        pieces: list[str] = []
        try:
            asks = Step(agent, name="ask", retry=again)
            runner = Flujo(asks, state=store, clock=self.clock, quota=quota)
            async for event in runner.stream_async("the question", run_id="one"):
                match event:
                    case Chunk(value=piece):
                        pieces.append(piece)
                    case Finished(result=result):
                        return pieces, result
                    case _:
                        pass
            raise AssertionError("the stream ended without a result")
        finally:
            await store.close()

    async def run(self, model: Model | str, output_type: Any = str, **settings: Any) -> PipelineResult[Any]:
        """Have an agent answer one question in a run of its own."""
        agent = await make_agent_async(model, "Be exact.", output_type, **settings)
        store = SQLiteStore(self.folder / "flujo_ops.db")
        try:
            runner = Flujo(Step(agent, name="ask"), state=store, clock=self.clock)
            return await runner.run_async("the question", run_id="one")
        finally:
            await store.close()

    async def events(self, run_id: str = "one") -> list[Event]:
        """Return what the journal has of a run."""
        store = SQLiteStore(self.folder / "flujo_ops.db")
        try:
            return await store.events(run_id)
        finally:
            await store.close()

    def keeps_the_key_to_itself(self, *said: object) -> bool:
        """Whether the key stands neither on the disk nor in what was said."""
        written = b"".join(path.read_bytes() for path in self.folder.iterdir() if path.is_file())
        return KEY.encode() not in written and all(KEY not in repr(one) + str(one) for one in said)

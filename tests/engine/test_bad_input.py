"""What cannot work ends in an error that names the place and the remedy, and nothing is lost."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

import flujo
from flujo import (
    Flujo,
    FlujoError,
    HumanInput,
    MemoryStore,
    Node,
    Parallel,
    PauseForHumanInput,
    PipelineContext,
    SQLiteStore,
    Step,
    StepInfo,
    step,
)
from flujo.errors import (
    ChainBroken,
    PipelineError,
    PlanError,
    RecordError,
    RunBusy,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StoreVersionError,
    UnknownRun,
)
from tests.engine.stores import FullStore


@step
async def add(x: int) -> int:
    return x + 1


ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def says(error: FlujoError | None, *words: str) -> None:
    assert error is not None
    for word in words:
        assert word in str(error), str(error)
    assert "To fix:" in str(error), f"no remedy: {error}"


class TestOutputs:
    @staticmethod
    def giving(value: Any, annotation: Any = Any) -> Step[int, Any]:
        async def give(x: int) -> Any:
            return value() if callable(value) else value

        give.__annotations__["return"] = annotation
        return Step(give)

    @pytest.mark.parametrize(
        "value",
        [
            object(),
            {1, 2},
            {1: "number as key"},
            float("nan"),
            b"bytes",
            [object()],
            {"deep": {"er": object()}},
        ],
        ids=["object", "set", "int key", "nan", "bytes", "list", "nested"],
    )
    async def test_what_is_not_json_and_not_declared(self, value: Any) -> None:
        result = await Flujo(self.giving(value), state=MemoryStore()).run_async(1)
        assert isinstance(result.error, RecordError)
        assert result.error.address == "give"
        says(result.error, "give")

    async def test_it_is_fine_where_nothing_is_recorded(self) -> None:
        assert (await Flujo(self.giving({1, 2})).run_async(1)).output == {1, 2}

    async def test_cyclic_references(self) -> None:
        def cycle() -> list[Any]:
            loop: list[Any] = []
            loop.append(loop)
            return loop

        for annotation in (Any, list[Any], dict[str, Any] | list[Any]):
            result = await Flujo(self.giving(cycle, annotation), state=MemoryStore()).run_async(1)
            assert isinstance(result.error, RecordError)
            says(result.error, "give")

    async def test_a_subclass_that_would_lose_its_fields(self) -> None:
        class Plain(BaseModel):
            name: str

        class Rich(Plain):
            more: int

        result = await Flujo(self.giving(Rich(name="a", more=1), Plain), state=MemoryStore()).run_async(1)
        assert isinstance(result.error, RecordError)
        says(result.error, "give", "Rich")

    async def test_the_values_themselves_are_not_shown(self) -> None:
        result = await Flujo(self.giving({"password": {"hunter2", "x"}}), state=MemoryStore()).run_async(1)
        assert "hunter2" not in str(result.error)

    async def test_the_outputs_before_it_are_kept(self) -> None:
        runner = Flujo(add >> self.giving(object()), state=MemoryStore())
        failed = await runner.run_async(1)
        told = await runner.result(failed.run_id)
        assert told.status == "failed"
        assert [one.output for one in told.steps] == [2]
        says(told.error, "give")

    async def test_in_a_parallel(self) -> None:
        result = await Flujo(Parallel(add, self.giving(object())), state=MemoryStore()).run_async(1)
        says(result.error, "parallel/1/give")


class TestContexts:
    async def test_a_field_of_an_unknown_type(self) -> None:
        class Odd(PipelineContext):
            model_config = ConfigDict(arbitrary_types_allowed=True)
            lock: Iterator[int] | None = None

        async def uses(x: int, odd: Odd) -> int:
            return x

        with pytest.raises(PlanError, match=r"context\.lock"):
            Flujo(Step(uses), state=MemoryStore())
        assert (await Flujo(Step(uses)).run_async(1)).success

    async def test_a_value_that_cannot_be_recorded(self) -> None:
        async def writes(x: int, context: PipelineContext) -> int:
            context.scratchpad["handle"] = object()
            return x

        result = await Flujo(Step(writes), state=MemoryStore()).run_async(1)
        assert isinstance(result.error, RecordError)
        assert result.error.address == "writes"
        says(result.error, "scratchpad")

    async def test_a_cycle(self) -> None:
        async def writes(x: int, context: PipelineContext) -> int:
            context.scratchpad["me"] = context.scratchpad
            return x

        result = await Flujo(Step(writes), state=MemoryStore()).run_async(1)
        assert result.status == "failed"
        says(result.error, "scratchpad")

    async def test_a_field_that_is_not_declared(self) -> None:
        async def writes(x: int, context: PipelineContext) -> int:
            context.typo = 1  # pyright: ignore[reportAttributeAccessIssue]
            return x

        result = await Flujo(Step(writes), state=MemoryStore()).run_async(1)
        assert result.status == "failed"
        assert "typo" in str(result.error)


class TestRequests:
    async def test_a_subject_that_cannot_be_shown(self) -> None:
        def subject(x: int) -> Any:
            return object()

        for state in (None, MemoryStore()):
            result = await Flujo(HumanInput("?", subject=subject), state=state).run_async(1)
            assert isinstance(result.error, RecordError)
            says(result.error, "human_input")

    async def test_a_type_that_nobody_can_answer(self) -> None:
        class Handle:
            pass

        async def asks(x: int, info: StepInfo) -> int:
            await info.ask("?", Handle)
            return x

        async def raises(x: int) -> int:
            raise PauseForHumanInput("?", Handle)

        for agent in (asks, raises):
            result = await Flujo(Step(agent), state=MemoryStore()).run_async(1)
            assert result.status == "failed"
            says(result.error, agent.__name__, "Handle")


class TestDefinitions:
    @pytest.mark.parametrize(
        ("code", "word"),
        [
            ("Step('text')", "text"),
            ("Step(add)", "add"),
            ("add >> 5", "5"),
            ("Parallel()", "no branch"),
            ("Parallel(add, b=add)", "labels"),
            ("add.named('a/b')", "/"),
            ("Step(add.agent, name='a[1]')", "["),
            ("Step(add.agent, retries=3)", "retries"),
            ("Step(add.agent, effects='twice')", "twice"),
            ("Step(add.agent, fallback=len)", "fallback"),
            ("Step(add.agent, inputs={'x': 'add'})", "inputs"),
            ("Map(add, concurrency=0)", "concurrency"),
            ("Map(len)", "Map"),
            ("Map(add, on_failure='ignore')", "ignore"),
            ("Parallel(add, on_failure='ignore')", "ignore"),
            ("Branch(on=bool, cases={})", "no case"),
            ("Branch(on=bool, cases={1: add, '1': add})", "1"),
            ("Branch(on=bool, cases={'a': len})", "a"),
            ("Loop(add, until=bool, max_turns=0)", "max_turns"),
            ("Loop(add, until=bool, max_turns=1, on_exhausted='stop')", "stop"),
            ("SubPipeline(len)", "len"),
            ("Pipeline()", "at least one"),
            ("Pipeline(add, len)", "len"),
            ("Sleep(timedelta(seconds=-1))", "negative"),
            ("WaitForEvent('e', timeout=timedelta(0))", "timeout"),
            ("WaitForEvent('e', on_timeout=add)", "timeout"),
            ("WaitForEvent('a/b')", "/"),
            ("HumanInput('?', on_deny=len)", "on_deny"),
        ],
    )
    def test_settings_that_cannot_work(self, code: str, word: str) -> None:
        """As text, because a type checker refuses most of them, too."""
        with pytest.raises(PipelineError) as caught:
            eval(
                code,
                {
                    **{name: getattr(flujo, name) for name in flujo.__all__},
                    "add": add,
                    "timedelta": timedelta,
                },
            )
        says(caught.value, word)

    def test_a_definition_cannot_be_changed(self) -> None:
        for node in (add, add >> add.named("b"), Parallel(add), HumanInput("?")):
            with pytest.raises((AttributeError, TypeError)):
                node.anything = 1  # pyright: ignore[reportAttributeAccessIssue]
            with pytest.raises(AttributeError):
                node._name = "x"  # pyright: ignore[reportAttributeAccessIssue]


def paused_node() -> Node[int, int]:
    async def before(x: int) -> int:
        ran.append("before")
        return x

    async def after(x: int) -> int:
        ran.append("after")
        return x

    return Step(before) >> HumanInput("?", schema=int) >> Step(after)


class TestFiles:
    @pytest.fixture
    async def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "flujo_ops.db"
        async with Flujo(paused_node(), state=path) as runner:
            await runner.run_async(1, run_id="r1")
        return path

    async def refused(self, path: Path, kind: type[FlujoError], *words: str) -> None:
        """Check that going on is refused and that nothing ran."""
        ran.clear()
        store = SQLiteStore(path)
        with pytest.raises(kind) as caught:
            await Flujo(paused_node(), state=store).resume_async("r1", 5)
        await store.close()
        says(caught.value, *words)
        assert ran == []

    async def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "flujo_ops.db"
        path.write_bytes(b"this is a letter, not a database. " * 100)
        before = path.read_bytes()
        await self.refused(path, StoreError, "flujo_ops.db")
        assert path.read_bytes() == before

    async def test_another_programs_database(self, tmp_path: Path) -> None:
        path = tmp_path / "flujo_ops.db"
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE runs (theirs TEXT)")
        other.close()
        await self.refused(path, StoreError)

    async def test_a_damaged_file(self, path: Path) -> None:
        damaged = bytearray(path.read_bytes())
        damaged[4096 * 1 : 4096 * 3] = os.urandom(4096 * 2)
        path.write_bytes(damaged)
        ran.clear()
        with pytest.raises(FlujoError) as caught:
            await Flujo(paused_node(), state=path).resume_async("r1", 5)
        assert isinstance(caught.value, StoreCorrupt | ChainBroken | UnknownRun | StoreError)
        assert caught.value.fix
        assert ran == []

    @pytest.mark.parametrize("kind", ["BLOB", "TEXT"])
    async def test_a_journal_with_a_changed_byte(self, path: Path, kind: str) -> None:
        with sqlite3.connect(path) as tampering:
            changed = tampering.execute(
                "UPDATE events SET body = CAST("
                f"replace(CAST(body AS TEXT), '\"output\":1', '\"output\":7') AS {kind})"
                " WHERE kind = 'step.completed'"
            ).rowcount
        tampering.close()
        assert changed == 1
        await self.refused(path, ChainBroken, "r1", "before")

    async def test_a_newer_store(self, path: Path) -> None:
        with sqlite3.connect(path) as tampering:
            version = tampering.execute("PRAGMA user_version").fetchone()[0]
            tampering.execute(f"PRAGMA user_version = {version + 100}")
        tampering.close()
        await self.refused(path, StoreVersionError)

    async def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        await self.refused(tmp_path / "nowhere" / "flujo_ops.db", StoreUnavailable, "nowhere")

    async def test_a_folder_in_its_place(self, tmp_path: Path) -> None:
        await self.refused(tmp_path, StoreError, tmp_path.name)

    async def test_a_locked_file_loses_nothing(self, path: Path) -> None:
        lock = sqlite3.connect(path)
        lock.execute("BEGIN EXCLUSIVE")
        ran.clear()
        store = SQLiteStore(path, busy_timeout=0.05)
        with pytest.raises(StoreUnavailable) as caught:
            await Flujo(paused_node(), state=store).resume_async("r1", 5)
        says(caught.value, "locked")
        assert ran == []
        lock.close()
        await store.close()
        async with Flujo(paused_node(), state=path) as runner:
            assert (await runner.resume_async("r1", 5)).output == 5
        assert ran == ["after"]

    async def test_a_full_disk_loses_nothing(self, tmp_path: Path) -> None:
        """A store that accepts no more raises, and what was committed is there when there is room again."""
        store = FullStore(room=3)
        runner = Flujo(paused_node(), state=store)
        assert (await runner.run_async(1, run_id="r1")).status == "paused"
        with pytest.raises(StoreUnavailable):
            await runner.resume_async("r1", 5)
        store.room = 1000
        result = await Flujo(paused_node(), state=store).resume_async("r1", 5)
        assert result.output == 5
        assert ran.count("before") == 1


class TestTwoProcesses:
    def test_the_second_is_told_who_carries_the_run(self, tmp_path: Path) -> None:
        code = """
import asyncio, sys
from flujo import *

async def waits(x: int) -> int:
    print("begun", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    return x

print(Flujo(Step(waits), state="flujo_ops.db").run(1, run_id="r1").output, flush=True)
"""
        one = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert one.stdout is not None
        assert one.stdout.readline() == "begun\n"

        async def waits(x: int) -> int:
            ran.append("here")
            return x

        runner = Flujo(Step(waits), state=tmp_path / "flujo_ops.db")
        with pytest.raises(RunBusy) as caught:
            runner.resume("r1")
        says(caught.value, "r1", str(one.pid))
        out, _ = one.communicate("go\n", timeout=20)
        assert out == "1\n"
        assert runner.resume("r1").output == 1
        assert ran == []

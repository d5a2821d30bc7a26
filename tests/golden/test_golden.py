"""Journals that each version recorded: read, verified, and gone on from, for ever."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from flujo import MemoryStore, SQLiteStore
from flujo.journal.store import JournalStore, RunQuery
from flujo.journal.verify import verify, verify_all
from tests.golden.pipelines import GOLDEN
from tests.golden.record import dumped, gone_on, record, restored

HERE = Path(__file__).parent
VERSIONS = sorted(folder for folder in HERE.glob("v*") if folder.is_dir())
KEPT = sorted(HERE.glob("v*/*.json"))


def facts(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def as_text(value: Any) -> Any:
    return json.loads(json.dumps(value))


def test_every_pipeline_is_kept_by_the_newest_version() -> None:
    assert {file.stem for file in KEPT if file.parent == VERSIONS[-1]} == set(GOLDEN)


@pytest.mark.parametrize("file", KEPT, ids=[f"{file.parent.name}-{file.stem}" for file in KEPT])
class TestJournal:
    async def test_it_is_sound(self, file: Path) -> None:
        store = MemoryStore()
        await restored(facts(file), store)
        report = await verify(store, file.stem)
        assert report.sound, report.finding
        assert report.events == len(facts(file)["events"])

    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    async def test_it_stands_where_it_stood_and_goes_on_as_it_did(
        self, file: Path, kind: str, tmp_path: Path
    ) -> None:
        store: JournalStore = MemoryStore() if kind == "memory" else SQLiteStore(tmp_path / "flujo_ops.db")
        await restored(facts(file), store)
        assert as_text(await gone_on(file.stem, store)) == facts(file)["told"]
        assert (await verify(store, file.stem)).sound
        await store.close()

    async def test_today_it_would_be_recorded_byte_for_byte(self, file: Path) -> None:
        """Only for the newest version: a change of the format is a change of the version."""
        if file.parent != VERSIONS[-1]:
            pytest.skip("an older version wrote otherwise")
        store = MemoryStore()
        await record(file.stem, store)
        now, then = await dumped(store, file.stem), facts(file)
        assert as_text(now["events"]) == then["events"]
        assert as_text(now["record"]) == then["record"]
        assert now["payloads"] == then["payloads"]


@pytest.mark.parametrize("version", VERSIONS, ids=[version.name for version in VERSIONS])
async def test_the_file_of_a_version_is_opened_and_gone_on_from(version: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(version / "flujo_ops.sqlite", tmp_path / "flujo_ops.db"))
    store = SQLiteStore(file)
    names = {path.stem for path in version.glob("*.json")}
    assert {run.run_id for run in (await store.runs(RunQuery(limit=100))).runs} == names
    assert all([report.sound async for report in verify_all(store)])
    for name in sorted(names):
        assert as_text(await gone_on(name, store)) == facts(version / f"{name}.json")["told"]
    assert all([report.sound async for report in verify_all(store)])
    await store.close()

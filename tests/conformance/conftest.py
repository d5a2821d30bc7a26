"""The stores, each a parameter of the suites in this folder."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from flujo.journal.memory import MemoryStore
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import JournalStore

MakeStore = Callable[[Path], JournalStore]


def memory(folder: Path) -> JournalStore:
    return MemoryStore()


def sqlite(folder: Path) -> JournalStore:
    return SQLiteStore(folder / "flujo_ops.db")


@pytest.fixture(params=[memory, sqlite], ids=["memory", "sqlite"])
def make_store(request: pytest.FixtureRequest) -> MakeStore:
    return request.param


@pytest.fixture
async def store(make_store: MakeStore, tmp_path: Path) -> AsyncIterator[JournalStore]:
    store = make_store(tmp_path)
    yield store
    await store.close()

"""The stores, each a parameter of the suites in this folder."""

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flujo.journal.memory import MemoryStore
from flujo.journal.postgres import PostgresStore
from flujo.journal.sqlite import SQLiteStore
from flujo.journal.store import JournalStore
from tests.newer import make_postgres, make_sqlite
from tests.postgres import schema

MakeStore = Callable[[Path], JournalStore]


def memory(folder: Path) -> JournalStore:
    return MemoryStore()


def sqlite(folder: Path) -> JournalStore:
    return SQLiteStore(folder / "flujo_ops.db")


def newer_sqlite(folder: Path) -> JournalStore:
    path = folder / "flujo_ops.db"
    if not path.exists():
        make_sqlite(path)
    return SQLiteStore(path)


@pytest.fixture(params=["memory", "sqlite", "postgres", "newer-sqlite", "newer-postgres"])
def make_store(request: pytest.FixtureRequest) -> Generator[MakeStore]:
    match request.param:
        case "memory":
            yield memory
        case "sqlite":
            yield sqlite
        case "newer-sqlite":
            yield newer_sqlite
        case kind:
            urls: dict[Path, str] = {}
            with ExitStack() as schemas:

                def postgres(folder: Path) -> JournalStore:
                    if folder not in urls:
                        urls[folder] = schemas.enter_context(schema())
                        if kind == "newer-postgres":
                            make_postgres(urls[folder])
                    return PostgresStore(urls[folder])

                yield postgres


@pytest.fixture
async def store(make_store: MakeStore, tmp_path: Path) -> AsyncIterator[JournalStore]:
    store = make_store(tmp_path)
    yield store
    await store.close()

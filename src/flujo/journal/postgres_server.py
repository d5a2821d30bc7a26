"""A PostgreSQL server: reached, its tables made and migrated, and its errors in our words."""

import asyncio
from importlib.util import find_spec
from pathlib import Path

from flujo.errors import ConfigError, StoreCorrupt, StoreError, StoreUnavailable, StoreVersionError
from flujo.journal.scripts import migrations, needs_of, queries

try:
    import asyncpg
except ModuleNotFoundError as error:
    raise ConfigError(
        "a PostgreSQL store needs the package asyncpg, which is not installed",
        fix="pip install 'flujo[postgres]'",
    ) from error

CONNECT_SECONDS = 10.0
"""How long one attempt to connect may take."""

WITH_QUEUE = "-- flujo: make the queue"
"""The line of a migration with which the tables of Procrastinate are made, too."""

LOST: tuple[type[Exception], ...] = (
    OSError,  # a time-out is one, too
    asyncpg.InterfaceError,  # the connection was closed under a statement
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is shut down, or starts, or an operator ends the session
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
)
"""What tells nothing about a statement's outcome, or passes: look again."""

_FIXES: dict[type[Exception], str] = {
    asyncpg.InvalidPasswordError: "check the user and the password in the store's URL",
    asyncpg.InvalidAuthorizationSpecificationError: "check the user in the store's URL, and pg_hba.conf",
    asyncpg.InvalidCatalogNameError: "create the database, or name another in the store's URL",
    asyncpg.InsufficientPrivilegeError: "grant this user the right to create and to write the store's tables",
    asyncpg.ReadOnlySQLTransactionError: "name the primary server, not a standby",
    asyncpg.DiskFullError: "free some space on the server, then resume the run",
    asyncpg.OutOfMemoryError: "give the server more memory, then resume the run",
}


async def connect(url: str, place: str) -> asyncpg.Connection:
    """Connect to a store whose commits are on the server's disk before they are acknowledged.

    Its tables are made, or migrated, if need be.

    Raises:
        StoreError: The server or its tables cannot be used, and trying again would not help.
        Exception: One of ``LOST``: the server cannot be reached now.
    """
    try:
        connection = await asyncpg.connect(
            url, timeout=CONNECT_SECONDS, server_settings={"application_name": "flujo"}
        )
    except ValueError as error:  # a setting in the URL that nobody knows
        raise store_error(error, place) from error
    except asyncpg.PostgresError as error:
        if isinstance(error, LOST):
            raise
        raise store_error(error, place) from error
    ready = False
    try:
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            await connection.execute("SET synchronous_commit = on")
        await prepare(connection, place)
        ready = True
    finally:
        if not ready:
            connection.terminate()
    return connection


async def prepare(connection: asyncpg.Connection, place: str, scripts: tuple[str, ...] = ()) -> None:
    """Make the tables, or bring them to the newest version, each step in a transaction of its own.

    Raises:
        StoreVersionError: A newer Flujo made them.
        StoreCorrupt: The database holds tables of the same names that are not a store's.
    """
    steps, sql = scripts or migrations("postgres"), queries("postgres")
    version = await schema_version(connection)
    if version > len(steps) and await _needs(connection, sql, version) > len(steps):
        raise StoreVersionError(
            f"the store at {place} has schema version {version}; this Flujo knows those up to {len(steps)}",
            fix="upgrade Flujo to the version that wrote it, or name another database",
        )
    while version < len(steps):
        try:
            async with connection.transaction():
                await connection.execute(sql["lock_schema"])
                version = await schema_version(connection)  # another process may have been first
                if version < len(steps):
                    if version == 0:
                        await connection.execute(sql["make_schema"])
                    await connection.execute(steps[version])
                    if WITH_QUEUE in steps[version]:
                        await _make_queue(connection, sql)
                    version += 1
                    await connection.execute(sql["note_version"], version)
                    if await connection.fetchval(sql["has_needs"]):
                        await connection.execute(sql["note_needs"], version, needs_of(steps, version))
        except asyncpg.DuplicateTableError as error:
            raise StoreCorrupt(
                f"the database at {place} holds tables of another application ({error})",
                fix="name another database for the store, or another schema: ?search_path=flujo",
            ) from error


async def _make_queue(connection: asyncpg.Connection, sql: dict[str, str]) -> None:
    """Make the tables of Procrastinate, by its own script, unless they are there."""
    if await connection.fetchval(sql["has_queue"]):
        return
    # Found, not imported: a store may be used first when the interpreter ends, too late to start threads.
    package = find_spec("procrastinate")
    if package is None or package.origin is None:
        raise ConfigError(
            "a PostgreSQL store needs the package procrastinate, which is not installed",
            fix="pip install 'flujo[postgres]'",
        )
    script = Path(package.origin).parent / "sql" / "schema.sql"
    await connection.execute(script.read_text(encoding="utf-8"))


async def _needs(connection: asyncpg.Connection, sql: dict[str, str], version: int) -> int:
    """Return the oldest version whose code may use these tables; their own, where they do not say so."""
    known = (
        await connection.fetchval(sql["needs"], version)
        if await connection.fetchval(sql["has_needs"])
        else None
    )
    return version if known is None else known


async def schema_version(connection: asyncpg.Connection) -> int:
    """Return the version of a store's tables; 0 where there are none."""
    sql = queries("postgres")
    if not await connection.fetchval(sql["has_schema"]):
        return 0
    version: int = await connection.fetchval(sql["schema_version"])
    return version


def store_error(error: BaseException, place: str) -> StoreError:
    """Return an error of the server, or of the way to it, in the words of the store."""
    if isinstance(error, StoreError):
        return error
    for kind, fix in _FIXES.items():
        if isinstance(error, kind):
            return StoreUnavailable(f"the store at {place}: {_said(error)}", fix=fix)
    if isinstance(error, LOST):
        return StoreUnavailable(
            f"the store at {place} cannot be reached: {_said(error)}",
            fix="look whether the server runs and may be reached from here, then resume the run",
        )
    return StoreError(f"the store at {place}: {_said(error)}", fix="report this, with the server's version")


def _said(error: BaseException) -> str:
    """Return what an error says; what the server adds in its details may hold values, and is left out."""
    if isinstance(error, asyncio.TimeoutError):
        return "no answer in time"
    text = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
    return text or type(error).__name__

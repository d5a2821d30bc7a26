"""Databases that a model's queries read: each query alone, read-only, for a limited time."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable
from urllib.parse import quote
from uuid import UUID

from pydantic import JsonValue
from pydantic_core import to_json, to_jsonable_python

from flujo.agents.sql_check import Tables
from flujo.errors import ConfigError

if TYPE_CHECKING:
    import asyncpg

_SQL = Path(__file__).with_name("sql")
LONGEST = 10_000_000
"""The longest text or blob that SQLite may make, in bytes."""
LARGEST = 1_000_000
"""How large the rows of an answer are at most together, in bytes of JSON."""
_AT_ONCE = 20
"""How many rows PostgreSQL sends at once: as many may be held beyond what an answer takes."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query gave.

    Attributes:
        columns: The names of its columns.
        rows: Its rows, as JSON: decimals, times and identifiers as texts, bytes in hexadecimal digits.
        truncated: Whether there are more, than were asked for or than an answer may hold.
        error: What the database said instead, about a query that whoever wrote it can mend; then nothing else
            is there.
    """

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[JsonValue, ...], ...] = ()
    truncated: bool = False
    error: str = ""


@runtime_checkable
class Database(Protocol):
    """A database that queries read."""

    @property
    def dialect(self) -> str:
        """The dialect of its SQL, as sqlglot names it."""
        ...

    async def tables(self) -> dict[str, dict[str, str]]:
        """Return what there is to read: the types of columns, by table."""
        ...

    async def query(self, sql: str, rows: int, seconds: float) -> Rows:
        """Run one query that was checked, and change nothing.

        Args:
            sql: The query.
            rows: The most rows to give.
            seconds: The time limit.
        """
        ...


def database_of(given: object) -> Database:
    """Return a database: as it is, of PostgreSQL by its URL, or of SQLite by its path or what opens it.

    Raises:
        ConfigError: It is none of them.
    """
    match given:
        case str() if given.startswith(("postgres://", "postgresql://")):
            return PostgresDatabase(given)
        case str() | Path():
            return SQLiteDatabase(Path(given))
        case Database():
            return given
        case _ if callable(given):
            return SQLiteDatabase(cast("Callable[[], sqlite3.Connection]", given))
        case _:
            raise ConfigError(
                f"{given!r} is no database",
                fix="pass a path, postgresql://…, a function that opens a sqlite3 connection, or a Database",
            )


class SQLiteDatabase:
    """A SQLite database, read through connections that cannot write.

    Args:
        source: Its file; or a function that opens a connection, which is closed again after each query.
    """

    dialect = "sqlite"

    def __init__(self, source: Path | Callable[[], sqlite3.Connection]) -> None:
        self._source = source

    async def tables(self) -> dict[str, dict[str, str]]:
        """Return the types of columns, by table.

        Raises:
            ConfigError: The database cannot be read.
        """
        return await asyncio.to_thread(self._tables)

    async def query(self, sql: str, rows: int, seconds: float) -> Rows:
        """Run one query in a worker thread; see :class:`Database`."""
        return await asyncio.to_thread(self._query, sql, rows, seconds)

    def _open(self) -> sqlite3.Connection:
        if callable(self._source):
            connection = self._source()
            connection.row_factory, connection.text_factory = None, str  # rows are read by their places
            return connection
        return sqlite3.connect(f"file:{quote(str(self._source.absolute()))}?mode=ro", uri=True)

    def _tables(self) -> dict[str, dict[str, str]]:
        try:
            with closing(self._open()) as connection:
                return tables_of(connection.execute(statement("sqlite_columns")).fetchall())
        except sqlite3.Error as error:
            raise ConfigError(f"{self._source} cannot be read: {error}", fix="check the path") from error

    def _query(self, sql: str, rows: int, seconds: float) -> Rows:
        with closing(self._open()) as connection:
            end = time.monotonic() + seconds
            connection.execute("PRAGMA query_only = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
            connection.set_progress_handler(lambda: time.monotonic() > end, 1000)
            connection.set_authorizer(_allowed)
            try:
                cursor = connection.execute(sql)
                taken = Taken([column[0] for column in cursor.description], rows)
                for row in cursor:
                    if not taken.take(row):
                        break
            except sqlite3.Error as error:
                late = time.monotonic() > end
                return Rows(error=f"it took longer than {seconds:g} seconds" if late else str(error))
            finally:
                connection.set_authorizer(None)  # the connection may be another's
                connection.set_progress_handler(None, 0)
            return taken.rows()


def _allowed(action: int, one: str | None, two: str | None, _base: str | None, _view: str | None) -> int:
    """Decide for SQLite, as it prepares a query, about each thing that the query does."""
    match action:
        case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_RECURSIVE:
            return sqlite3.SQLITE_OK
        case sqlite3.SQLITE_READ if not (one or "").lower().startswith("sqlite_"):
            return sqlite3.SQLITE_OK
        case sqlite3.SQLITE_FUNCTION if (two or "").lower() != "load_extension":
            return sqlite3.SQLITE_OK
        case _:
            return sqlite3.SQLITE_DENY


class PostgresDatabase:
    """A PostgreSQL database, read in transactions that cannot write.

    Args:
        url: Where it is: ``postgresql://user@host/database``; tables are found by its ``search_path``.
    """

    dialect = "postgres"

    def __init__(self, url: str) -> None:
        self._url = url

    async def tables(self) -> dict[str, dict[str, str]]:
        """Return the types of columns, by table.

        Raises:
            ConfigError: The package is not installed.
        """
        connection = await self._open(10)
        try:
            return tables_of([tuple(row) for row in await connection.fetch(statement("postgres_columns"))])
        finally:
            await connection.close()

    async def query(self, sql: str, rows: int, seconds: float) -> Rows:
        """Run one query over a connection of its own; see :class:`Database`."""
        import asyncpg

        connection = await self._open(seconds)
        try:
            async with connection.transaction(readonly=True):
                await connection.execute(f"SET LOCAL statement_timeout = {max(int(seconds * 1000), 1)}")
                prepared = await connection.prepare(sql)
                taken = Taken([column.name for column in prepared.get_attributes()], rows)
                cursor = await prepared.cursor()
                async with asyncio.timeout(seconds):  # the database's own limit is that of one fetch
                    while found := await cursor.fetch(_AT_ONCE):
                        if not all(taken.take(tuple(row)) for row in found):
                            break
            return taken.rows()
        except (asyncpg.QueryCanceledError, TimeoutError):
            return Rows(error=f"it took longer than {seconds:g} seconds")
        except asyncpg.PostgresError as error:
            if isinstance(error, asyncpg.PostgresConnectionError | asyncpg.OperatorInterventionError):
                raise
            return Rows(error=str(error))
        except (asyncpg.InterfaceError, ValueError) as error:  # a whole row as a value, a year before Christ
            if connection.is_closed():
                raise
            return Rows(error=f"what it gives cannot be read: {error}; cast it to text")
        finally:
            await connection.close()

    async def _open(self, seconds: float) -> asyncpg.Connection:
        try:
            import asyncpg
        except ImportError as error:
            raise ConfigError(
                "reading PostgreSQL needs asyncpg", fix="pip install 'flujo[postgres]'"
            ) from error
        settings = {"default_transaction_read_only": "on"}
        return await asyncpg.connect(self._url, timeout=max(seconds, 1), server_settings=settings)


def statement(name: str) -> str:
    """Return a statement by the name of its file."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


def tables_of(columns: Sequence[Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return columns, each with its table and its type, by table."""
    tables: dict[str, dict[str, str]] = {}
    for table, column, kind in columns:
        tables.setdefault(table, {})[column] = kind or "ANY"
    return tables


class Taken:
    """Takes the rows that a query gives, one by one, until there are enough.

    Args:
        columns: The names of the columns.
        most: The most rows.
    """

    def __init__(self, columns: Sequence[str], most: int) -> None:
        self._columns = tuple(columns)
        self._rows: list[tuple[JsonValue, ...]] = []
        self._most = most
        self._left = LARGEST
        self._truncated = False

    def take(self, row: Sequence[Any]) -> bool:
        """Take a row in, and say whether that was possible; if not, none after it can be."""
        written = tuple(_json(value) for value in row)
        self._left -= len(to_json(written))
        self._truncated = len(self._rows) == self._most or self._left < 0
        if not self._truncated:
            self._rows.append(written)
        return not self._truncated

    def rows(self) -> Rows:
        """Return what was taken, as it is recorded."""
        if self._truncated and not self._rows:
            return Rows(
                error=f"its first row alone has more than {LARGEST} bytes; select fewer columns, or parts of "
                "them: substr(…)"
            )
        return Rows(self._columns, tuple(self._rows), self._truncated)


def _json(value: Any) -> JsonValue:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if abs(value) < float("inf") else str(value)
        case bytes():
            return value.hex()
        case Decimal() | UUID():
            return str(value)
        case date() | datetime() | clock_time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case list() | tuple():
            return [_json(item) for item in cast("Sequence[Any]", value)]
        case _:
            return cast("JsonValue", to_jsonable_python(value, fallback=str))


def shown_tables(tables: Tables) -> str:
    """Return tables as a model reads them: a line for each, with its columns and their types."""
    return "\n".join(
        f"{name}({', '.join(f'{column} {kind}' for column, kind in columns.items())})"
        for name, columns in tables.items()
    )

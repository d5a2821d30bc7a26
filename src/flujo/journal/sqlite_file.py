"""The file of an SQLite store: made private, opened, migrated; and its errors in our words."""

import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import Literal

from flujo.errors import StoreCorrupt, StoreError, StoreUnavailable, StoreVersionError
from flujo.journal.scripts import migrations, needs_of, queries

Synchronous = Literal["FULL", "NORMAL"]

APPLICATION_ID = 0x666C756A  # "fluj": tells our files from those of other applications
OLDEST_SQLITE = (3, 35, 0)
# Checkpoints are the writer's own work, between commits; this is the size, in pages, at which SQLite itself
# makes one in the middle of a long rush.
RUSH_PAGES = 4_096


def open_file(
    path: Path, *, create: bool, synchronous: Synchronous, busy_timeout: float
) -> sqlite3.Connection:
    """Open the store's file at the current schema version, making or migrating it if need be.

    Raises:
        StoreUnavailable: The file is missing, locked, read-only, or cannot be made.
        StoreCorrupt: It is not a store of ours, or not readable.
        StoreVersionError: A newer Flujo wrote it, or the SQLite library is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreVersionError(
            f"this Python has SQLite {sqlite3.sqlite_version}; the store needs {oldest} or newer",
            fix="use a Python built with a newer SQLite, such as one installed by `uv python install`",
        )
    _make_private(path, create)
    give_up = monotonic() + busy_timeout
    while True:
        try:
            return _connect(path, synchronous, busy_timeout)
        except sqlite3.Error as error:
            # SQLite does not wait by itself while others turn on its log, or delete it as the last to leave.
            if not is_busy(error) or monotonic() > give_up:
                raise store_error(error, path) from error
            sleep(0.005)


def _connect(path: Path, synchronous: Synchronous, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        _usable(connection, path, len(migrations("sqlite")))  # before a file of others is changed
        _configure(connection, synchronous)
        migrate(connection, path)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _configure(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    mode: str = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise StoreUnavailable(
            f"the file system does not support SQLite's write-ahead log (journal mode {mode})",
            fix="put the store on a local disk",
        )
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    if synchronous == "FULL":
        connection.execute("PRAGMA fullfsync = ON")  # macOS: a plain fsync does not reach the disk
    connection.execute(f"PRAGMA wal_autocheckpoint = {RUSH_PAGES}")


def _make_private(path: Path, create: bool) -> None:
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except OSError as error:
        raise StoreUnavailable(
            f"{path} cannot be reached: {error.strerror}", fix=f"check who may enter {path.parent}"
        ) from error
    if is_folder:
        raise StoreUnavailable(f"{path} is a directory", fix=f"name a file, such as {path / 'flujo_ops.db'}")
    if is_there:
        return
    if not create:
        raise StoreUnavailable(f"there is no store at {path}", fix="check the path, or run a pipeline first")
    try:
        # SQLite would make it readable by everyone; its -wal and -shm files take over these rights.
        # Exclusively, for closing a file that SQLite has open already would drop its locks.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _sync_directory(path.parent)
    except FileExistsError:
        return  # somebody else made it just now
    except FileNotFoundError as error:
        raise StoreUnavailable(
            f"cannot make {path}: its directory does not exist", fix=f"make the directory {path.parent}"
        ) from error
    except OSError as error:
        raise StoreUnavailable(
            f"cannot make {path}: {error.strerror}",
            fix=f"check who may write to {path.parent}, or name another",
        ) from error


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":
        return
    opened = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def migrate(connection: sqlite3.Connection, path: Path, scripts: tuple[str, ...] = ()) -> None:
    """Bring the schema to the current version, each step in a transaction of its own."""
    steps = scripts or migrations("sqlite")
    version = _usable(connection, path, len(steps))
    while version < len(steps):
        with transaction(connection):
            version = _usable(connection, path, len(steps))  # another process may have been first
            if version < len(steps):
                for statement in _statements(steps[version]):
                    connection.execute(statement)
                version += 1
                _note_needs(connection, steps, version)
                connection.execute(f"PRAGMA user_version = {version}")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Do what a block does as a whole, or not at all, while no other process writes."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file's tables; 0 of an empty file.

    Raises:
        StoreCorrupt: It is a file of another application.
    """
    application: int
    version: int
    objects: int
    application, version, objects = connection.execute(queries("sqlite")["identity"]).fetchone()
    if application != APPLICATION_ID:
        if objects:
            raise StoreCorrupt(
                f"{path} is an SQLite file of another application", fix="name another file for the store"
            )
        return 0
    return version


def _usable(connection: sqlite3.Connection, path: Path, newest: int) -> int:
    """Return the version of a file's tables, if code that knows versions up to ``newest`` may use them."""
    version = schema_version(connection, path)
    if version > newest and _needs(connection, version) > newest:
        raise StoreVersionError(
            f"{path} has schema version {version}; this Flujo knows versions up to {newest}",
            fix="upgrade Flujo to the version that wrote it, or name another file",
        )
    return version


def _needs(connection: sqlite3.Connection, version: int) -> int:
    """Return the oldest version whose code may use a file; its own, where it does not say so."""
    sql = queries("sqlite")
    if not connection.execute(sql["has_needs"]).fetchone()[0]:
        return version
    row = connection.execute(sql["needs"], (version,)).fetchone()
    return version if row is None else row[0]


def _note_needs(connection: sqlite3.Connection, steps: tuple[str, ...], version: int) -> None:
    sql = queries("sqlite")
    if connection.execute(sql["has_needs"]).fetchone()[0]:
        oldest = needs_of(steps, version)
        connection.execute(sql["note_needs"], (version, oldest))


def _statements(script: str) -> list[str]:
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether an error only means that another process holds the file."""
    return _code(error) == sqlite3.SQLITE_BUSY


def _code(error: sqlite3.Error) -> int:
    try:
        return error.sqlite_errorcode & 0xFF
    except AttributeError:  # Python raised it, not SQLite: a value is not what its column declares
        return sqlite3.SQLITE_CORRUPT if isinstance(error, sqlite3.OperationalError) else sqlite3.SQLITE_ERROR


def store_error(error: sqlite3.Error, path: Path) -> StoreError:
    """Return an error of SQLite in the words of the store, with what to do about it."""
    match _code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreUnavailable(
                f"{path} is locked by another process",
                fix="end the process that holds it (a backup, a database shell?), or allow more busy_timeout",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return StoreUnavailable(
                f"{path} is read-only ({error})",
                fix="let this user write to the file and to its directory, or work on a copy",
            )
        case sqlite3.SQLITE_FULL:
            return StoreUnavailable(
                f"{path} is full: no space is left for it ({error})",
                fix="free some space, then resume the run",
            )
        case sqlite3.SQLITE_IOERR:
            return StoreUnavailable(
                f"{path} cannot be read or written: {error}", fix="check the disk and the space left on it"
            )
        case sqlite3.SQLITE_CANTOPEN:
            return StoreUnavailable(
                f"{path} cannot be opened: {error}",
                fix="let this user write to its directory, or work on a copy",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
            return StoreCorrupt(f"{path} is not a readable store: {error}")
        case _:
            return StoreError(f"{path}: {error}", fix="report this, with the version of SQLite")

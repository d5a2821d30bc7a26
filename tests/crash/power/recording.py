"""The SQLite store on a recorded disk: a VFS of apsw under the store's own settings and statements.

The store's code runs as it is. Only the library below it is another one, for Python's own lets nobody see
what it asks of the system: `sqlite3.connect` gives a connection of apsw with the same few methods.
"""

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Protocol, cast

import apsw
import pytest
from typing_extensions import override

from flujo.journal import sqlite_file
from tests.crash.power.disk import Create, Delete, Entry, Sync, Truncate, Write

_numbers = count(1)
_LOGS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL
Values = Sequence[Any] | Mapping[str, Any]


class RecordedFile(apsw.VFSFile):
    """A file whose writes and syncs are noted; the syncs are not done, for only the diary counts."""

    def __init__(self, diary: list[Entry], path: str, flags: list[int]) -> None:
        self._name = os.path.basename(path)
        self._diary = diary
        # As SQLite's own VFS does: the first sync of a log syncs its folder, too.
        self._syncs_folder = bool(flags[0] & _LOGS)
        if not os.path.exists(path):
            diary.append(Create(self._name))
        super().__init__("", path, flags)

    @override
    def xWrite(self, data: Any, offset: int) -> None:
        self._diary.append(Write(self._name, offset, bytes(data)))
        cast("Any", super()).xWrite(data, offset)  # its stubs name a type that Python 3.11 has not

    @override
    def xTruncate(self, newsize: int) -> None:
        self._diary.append(Truncate(self._name, newsize))
        super().xTruncate(newsize)

    @override
    def xSync(self, flags: int) -> None:
        self._diary.append(Sync(self._name))
        if self._syncs_folder:
            self._diary.append(Sync(""))
            self._syncs_folder = False


class RecordedDisk(apsw.VFS):
    """Notes what SQLite asks of the disk, in the order in which it asks."""

    def __init__(self, diary: list[Entry]) -> None:
        self.name = f"power-{next(_numbers)}"
        self._diary = diary
        super().__init__(self.name, "")

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return apsw.VFSFile("", None, flags)  # a temporary table: nothing of it is to last
        return RecordedFile(self._diary, path, flags)

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._diary.append(Delete(os.path.basename(filename)))
        if syncdir:
            self._diary.append(Sync(""))
        super().xDelete(filename, False)


@contextmanager
def recorded(diary: list[Entry]) -> Generator[None]:
    """Let every SQLite store that is opened meanwhile work on a disk that keeps this diary."""
    disk = RecordedDisk(diary)

    def connect(path: Path, *, timeout: float, **settings: object) -> sqlite3.Connection:
        assert settings == {"isolation_level": None, "check_same_thread": False}
        library = cast("Library", apsw.Connection(str(path), vfs=disk.name))
        # For the stores there is no difference: they call nothing else of it.
        return cast("sqlite3.Connection", Connection(library, timeout))

    make_private = sqlite_file._make_private

    def noted(path: Path, create: bool) -> None:
        before = path.exists()
        make_private(path, create)
        if not before:
            diary.extend((Create(path.name), Sync("")))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", connect)
        patch.setattr(sqlite_file, "_make_private", noted)
        yield


class Library(Protocol):
    """What is used of a connection of apsw."""

    in_transaction: bool

    def execute(self, statements: str, bindings: Values) -> Iterator[tuple[Any, ...]]: ...
    def executemany(self, statements: str, sequenceofbindings: Iterable[Values]) -> object: ...
    def changes(self) -> int: ...
    def set_busy_timeout(self, milliseconds: int) -> None: ...
    def close(self) -> None: ...


class Connection:
    """A connection of apsw, as the stores use those of `sqlite3`."""

    def __init__(self, connection: Library, timeout: float) -> None:
        self._connection = connection
        self.text_factory: object = str
        connection.set_busy_timeout(int(1000 * timeout))

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, statement: str, values: Values = ()) -> "Cursor":
        with _as_sqlite3():
            cursor = self._connection.execute(statement, values)
            return Cursor(cursor, self._connection.changes())

    def executemany(self, statement: str, values: Iterable[Values]) -> None:
        with _as_sqlite3():
            self._connection.executemany(statement, list(values))

    def close(self) -> None:
        with _as_sqlite3():
            self._connection.close()


class Cursor:
    """The rows that a statement gives."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], changes: int) -> None:
        self._rows = rows
        self.rowcount = changes

    def fetchone(self) -> tuple[Any, ...] | None:
        with _as_sqlite3():
            return next(self._rows, None)

    def fetchall(self) -> list[tuple[Any, ...]]:
        with _as_sqlite3():
            return list(self._rows)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())


@contextmanager
def _as_sqlite3() -> Generator[None]:
    try:
        yield
    except apsw.Error as reason:
        kind = (
            sqlite3.IntegrityError if isinstance(reason, apsw.ConstraintError) else sqlite3.OperationalError
        )
        error = kind(str(reason))
        error.sqlite_errorcode = cast("Any", reason).extendedresult  # its stubs do not know it
        raise error from reason

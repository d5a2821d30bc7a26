"""A vault in a file of SQLite: one machine, any number of processes."""

import asyncio
import sqlite3
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TypeVar

from typing_extensions import override

from flujo_deidentifier.errors import VaultError
from flujo_deidentifier.scripts import migrations, queries
from flujo_deidentifier.tokens import new_random
from flujo_deidentifier.vault import Kept, Row, Vault, make_private

T = TypeVar("T")
APPLICATION_ID = 0x64656964  # "deid": tells our files from those of other applications
BUSY_SECONDS = 30.0


class SQLiteVault(Vault):
    """A vault in a file of SQLite, which only its owner may read.

    Args:
        path: The file; it is made if need be.
        draw: Returns the random part of a new token.

    Raises:
        VaultError: It cannot be opened, or is no vault, or one of a newer version.
    """

    def __init__(self, path: str | Path, draw: Callable[[], str] = new_random) -> None:
        super().__init__(draw)
        self._path = Path(path)
        self._sql = queries("sqlite")
        self._lock = Lock()
        make_private(self._path)
        with self._errors():
            # Whichever thread has the lock uses the connection.
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()

    @override
    async def known(self, lookups: Sequence[bytes]) -> Mapping[bytes, str]:
        """See `Vault.known`."""

        def read() -> dict[bytes, str]:
            found = {one: self._connection.execute(self._sql["known"], (one,)).fetchone() for one in lookups}
            return {lookup: row[0] for lookup, row in found.items() if row}

        return await self._aside(read)

    @override
    async def add(self, rows: Sequence[Row]) -> None:
        """See `Vault.add`."""
        told = [
            (row.token, row.scope, row.entity, row.lookup, row.key_id, row.sealed, row.created_at)
            for row in rows
        ]

        def write() -> None:
            with self._transaction():
                self._connection.executemany(self._sql["add"], told)

        await self._aside(write)

    @override
    async def kept(self, scope: str, tokens: Sequence[str]) -> Mapping[str, Kept]:
        """See `Vault.kept`."""

        def read() -> dict[str, Kept]:
            asked = {
                one: self._connection.execute(self._sql["kept"], (one, scope)).fetchone() for one in tokens
            }
            return {token: Kept(*row) for token, row in asked.items() if row}

        return await self._aside(read)

    @override
    async def drop(self, scope: str) -> int:
        """See `Vault.drop`."""
        return await self._aside(lambda: self._connection.execute(self._sql["drop"], (scope,)).rowcount)

    @override
    async def close(self) -> None:
        """See `Vault.close`."""
        await self._aside(self._connection.close)

    async def _aside(self, work: Callable[[], T]) -> T:
        """Do work in a thread, one at a time."""

        def locked() -> T:
            with self._lock, self._errors():
                return work()

        return await asyncio.to_thread(locked)

    def _prepare(self) -> None:
        """Make the tables, or bring them to the newest version."""
        steps = migrations("sqlite")
        self._version(len(steps))  # before a file of others is changed
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "fullfsync = ON", "secure_delete = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        while self._version(len(steps)) < len(steps):
            with self._transaction():
                version = self._version(len(steps))  # another process may have been first
                if version < len(steps):
                    for statement in statements(steps[version]):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA user_version = {version + 1}")
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def _version(self, newest: int) -> int:
        application, version, objects = self._connection.execute(self._sql["identity"]).fetchone()
        if application != APPLICATION_ID and objects:
            raise VaultError(f"{self._path} is a file of another application", fix="name another file")
        if version > newest and application == APPLICATION_ID:
            raise VaultError(
                f"the vault {self._path} has version {version}; this package knows those up to {newest}",
                fix="upgrade flujo-deidentifier",
            )
        return version if application == APPLICATION_ID else 0

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise VaultError(
                f"the vault {self._path} cannot be used: {error}",
                fix="check the file, its folder and the disk",
            ) from None


def statements(script: str) -> list[str]:
    """Return the statements of a script."""
    found: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found

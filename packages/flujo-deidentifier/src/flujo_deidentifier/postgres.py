"""A vault in PostgreSQL: any number of machines."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from typing_extensions import override

from flujo.errors import ConfigError
from flujo_deidentifier.errors import VaultError
from flujo_deidentifier.scripts import migrations, queries
from flujo_deidentifier.tokens import new_random
from flujo_deidentifier.vault import Kept, Row, Vault

try:
    import asyncpg
except ModuleNotFoundError as missing:
    raise ConfigError(
        "a vault in PostgreSQL needs the package asyncpg, which is not installed",
        fix="pip install 'flujo-deidentifier[postgres]'",
    ) from missing

CONNECT_SECONDS = 10.0


@dataclass(slots=True)
class _Held:
    """The connection of an event loop, and whose turn it is."""

    connection: asyncpg.Connection | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class PostgresVault(Vault):
    """A vault in a database of PostgreSQL.

    It connects when it is first used, and again where the connection was lost.

    Args:
        url: The database's URL; ``?search_path=`` names another schema.
        draw: Returns the random part of a new token.
    """

    def __init__(self, url: str, draw: Callable[[], str] = new_random) -> None:
        super().__init__(draw)
        self._url = url
        parts = urlsplit(url)
        self._place = f"{parts.hostname or 'localhost'}{parts.path}"  # without the password
        self._sql = queries("postgres")
        self._held: WeakKeyDictionary[asyncio.AbstractEventLoop, _Held] = WeakKeyDictionary()

    @override
    async def known(self, lookups: Sequence[bytes]) -> Mapping[bytes, str]:
        """See `Vault.known`."""
        async with self._connection() as connection:
            rows = await connection.fetch(self._sql["known"], list(lookups))
        return {row["lookup"]: row["token"] for row in rows}

    @override
    async def add(self, rows: Sequence[Row]) -> None:
        """See `Vault.add`."""
        columns = zip(
            *(
                (row.token, row.scope, row.entity, row.lookup, row.key_id, row.sealed, row.created_at)
                for row in rows
            ),
            strict=True,
        )
        async with self._connection() as connection:
            await connection.execute(self._sql["add"], *map(list, columns))

    @override
    async def kept(self, scope: str, tokens: Sequence[str]) -> Mapping[str, Kept]:
        """See `Vault.kept`."""
        async with self._connection() as connection:
            rows = await connection.fetch(self._sql["kept"], list(tokens), scope)
        return {row["token"]: Kept(row["scope"], row["entity"], row["key_id"], row["sealed"]) for row in rows}

    @override
    async def drop(self, scope: str) -> int:
        """See `Vault.drop`."""
        async with self._connection() as connection:
            return int((await connection.execute(self._sql["drop"], scope)).split()[-1])

    @override
    async def close(self) -> None:
        """See `Vault.close`."""
        held = self._held.pop(asyncio.get_running_loop(), None)
        if held is not None and held.connection is not None:
            await held.connection.close()

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[asyncpg.Connection]:
        """Give the connection of this event loop to one at a time."""
        held = self._held.setdefault(asyncio.get_running_loop(), _Held())
        try:
            async with held.lock:
                if held.connection is None or held.connection.is_closed():
                    held.connection = await self._connected()
                yield held.connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # What a server says of an error may quote what it was sent.
            raise VaultError(
                f"the vault at {self._place} cannot be used ({type(error).__name__})",
                fix="check the server, the URL and the rights of its user",
            ) from None

    async def _connected(self) -> asyncpg.Connection:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_SECONDS, server_settings={"application_name": "flujo-deidentifier"}
        )
        ready = False
        try:
            await self._prepare(connection)
            ready = True
        finally:
            if not ready:
                connection.terminate()
        return connection

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        """Make the tables, or bring them to the newest version."""
        if await connection.fetchval("SHOW synchronous_commit") == "off":
            await connection.execute("SET synchronous_commit = on")
        steps = migrations("postgres")
        async with connection.transaction():
            await connection.execute(self._sql["lock"])
            version = 0
            if await connection.fetchval(self._sql["has_schema"]):
                version = int(await connection.fetchval(self._sql["version"]))
            if version > len(steps):
                raise VaultError(
                    f"the vault at {self._place} has version {version}; this package knows {len(steps)}",
                    fix="upgrade flujo-deidentifier",
                )
            for step in steps[version:]:
                await connection.execute(step)

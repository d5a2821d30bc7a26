"""The vault: what tokens stand for, sealed. This module holds what every vault does alike."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time_ns
from typing import Literal
from urllib.parse import urlsplit

from flujo_deidentifier.errors import UnknownToken, VaultError
from flujo_deidentifier.keys import Keys
from flujo_deidentifier.tokens import new_random

TRIES = 8
"""How often a token is drawn anew that stands for another value: one in 2^50 for each in use."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a vault."""

    token: str
    scope: str
    entity: str
    lookup: bytes
    key_id: str
    sealed: bytes
    created_at: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a vault keeps under a token."""

    scope: str
    entity: str
    key_id: str
    sealed: bytes


class Vault(ABC):
    """Keeps what random tokens stand for: one value has one token in each scope, whoever asks, and when.

    Args:
        draw: Returns the random part of a new token.
    """

    def __init__(self, draw: Callable[[], str] = new_random) -> None:
        self._draw = draw

    @staticmethod
    def at(place: str | Path) -> "Vault":
        """Return the vault at a URL of PostgreSQL, or in a file of SQLite.

        Raises:
            VaultError: It cannot be used.
        """
        if isinstance(place, str) and urlsplit(place).scheme in ("postgres", "postgresql"):
            from flujo_deidentifier.postgres import PostgresVault

            return PostgresVault(place)
        from flujo_deidentifier.sqlite import SQLiteVault

        return SQLiteVault(place)

    async def tokens(
        self, keys: Keys, scope: str, wanted: Iterable[tuple[str, str]]
    ) -> Mapping[tuple[str, str], str]:
        """Return the random part of the token of each (entity, value): the one it has, or a new one.

        When this returns, they are kept for good.

        Raises:
            VaultError: The vault cannot be used.
        """
        scope_id = scope_ids(keys, scope)[0]
        missing = {lookup_of(keys, scope, *pair): pair for pair in dict.fromkeys(wanted)}
        found: dict[tuple[str, str], str] = {}
        for turn in range(TRIES):
            known = await self.known(list(missing))
            found |= {missing[lookup]: token for lookup, token in known.items()}
            missing = {lookup: pair for lookup, pair in missing.items() if lookup not in known}
            if not missing:
                return found
            if turn < TRIES - 1:
                await self.add(
                    [self._row(keys, scope_id, lookup, *pair) for lookup, pair in sorted(missing.items())]
                )
        raise VaultError(
            f"no free token was drawn {TRIES - 1} times", fix="check the machine's source of random numbers"
        )

    async def values(self, keys: Keys, scope: str, wanted: Iterable[tuple[str, str]]) -> Mapping[str, str]:
        """Return what stands behind the random parts of tokens, each given with its entity.

        Raises:
            TokenError: One is unknown in this scope, or does not open with these keys.
            VaultError: The vault cannot be used.
        """
        asked = dict.fromkeys(wanted)
        kept: dict[str, Kept] = {}
        for scope_id in scope_ids(keys, scope):
            missing = [token for token in dict.fromkeys(token for _, token in asked) if token not in kept]
            kept |= await self.kept(scope_id, missing) if missing else {}
        found: dict[str, str] = {}
        for entity, token in asked:
            row = kept.get(token)
            if row is None or row.entity != entity:
                raise UnknownToken(f"a token of kind {entity!r} is unknown in this scope")
            sealed = keys.open("seal", row.key_id, row.sealed, *_bound(token, row.scope, entity))
            found[token] = sealed.decode("utf-8", "surrogatepass")
        return found

    async def forget(self, keys: Keys, scope: str) -> int:
        """Delete all that is kept of a scope, and return how much: its tokens never open again.

        Args:
            keys: The keys.
            scope: What `scope_of` returns, such as ``scope_of("subject", tenant="north", subject="17")``.
        """
        return sum([await self.drop(scope_id) for scope_id in scope_ids(keys, scope)])

    def _row(self, keys: Keys, scope: str, lookup: bytes, entity: str, value: str) -> Row:
        token = self._draw()
        sealed = keys.seal("seal", value.encode("utf-8", "surrogatepass"), *_bound(token, scope, entity))
        return Row(token, scope, entity, lookup, keys.active, sealed, time_ns() // 1000)

    @abstractmethod
    async def known(self, lookups: Sequence[bytes]) -> Mapping[bytes, str]:
        """Return the tokens of those values that have one, by their lookups."""

    @abstractmethod
    async def add(self, rows: Sequence[Row]) -> None:
        """Keep rows for good, but for those whose lookup or token is kept already."""

    @abstractmethod
    async def kept(self, scope: str, tokens: Sequence[str]) -> Mapping[str, Kept]:
        """Return what is kept of a scope under those tokens that are known."""

    @abstractmethod
    async def drop(self, scope: str) -> int:
        """Delete all that is kept of a scope, and return how much."""

    async def close(self) -> None:  # noqa: B027  # not all have something to close
        """Give back what the vault holds open."""


class MemoryVault(Vault):
    """A vault that is gone with its process: for tests, and for runs that no one resumes."""

    def __init__(self, draw: Callable[[], str] = new_random) -> None:
        super().__init__(draw)
        self._rows: dict[bytes, Row] = {}
        self._tokens: dict[str, Row] = {}

    async def known(self, lookups: Sequence[bytes]) -> Mapping[bytes, str]:
        """See `Vault.known`."""
        return {lookup: self._rows[lookup].token for lookup in lookups if lookup in self._rows}

    async def add(self, rows: Sequence[Row]) -> None:
        """See `Vault.add`."""
        for row in rows:
            if row.lookup not in self._rows and row.token not in self._tokens:
                self._rows[row.lookup] = self._tokens[row.token] = row

    async def kept(self, scope: str, tokens: Sequence[str]) -> Mapping[str, Kept]:
        """See `Vault.kept`."""
        rows = (self._tokens[token] for token in tokens if token in self._tokens)
        return {
            row.token: Kept(row.scope, row.entity, row.key_id, row.sealed)
            for row in rows
            if row.scope == scope
        }

    async def drop(self, scope: str) -> int:
        """See `Vault.drop`."""
        gone = [row for row in self._rows.values() if row.scope == scope]
        for row in gone:
            del self._rows[row.lookup], self._tokens[row.token]
        return len(gone)


def scope_of(
    kind: Literal["run", "subject", "tenant"], *, tenant: str = "", subject: str = "", run_id: str = ""
) -> str:
    """Return the name of a scope: within it, equal values have equal tokens."""
    parts = {"run": (run_id,), "subject": (tenant, subject), "tenant": (tenant,)}[kind]
    return ":".join((kind, *(f"{len(part)}:{part}" for part in parts)))


def scope_ids(keys: Keys, scope: str) -> list[str]:
    """Return how a vault calls a scope, whose name may be personal: by the anchor, then by the other keys."""
    names = dict.fromkeys((keys.anchor, *keys))
    return [keys.mac("index", b"scope", scope.encode(), key_id=name)[:16].hex() for name in names]


def lookup_of(keys: Keys, scope: str, entity: str, value: str) -> bytes:
    """Return what finds the token of a value."""
    return keys.mac(
        "index", b"value", scope.encode(), entity.encode(), value.encode("utf-8", "surrogatepass")
    )


def _bound(token: str, scope: str, entity: str) -> tuple[bytes, ...]:
    return token.encode(), scope.encode(), entity.encode()


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, unless it is there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise VaultError(f"cannot make the vault {path}: {error.strerror}", fix="check the path") from None

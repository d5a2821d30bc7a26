"""Vaults: one value, one token in a scope, whoever asks; and nothing in them can be read without the keys."""

import asyncio
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import cycle
from pathlib import Path

import pytest

from flujo_deidentifier import (
    DamagedToken,
    Keys,
    MemoryVault,
    UnknownKey,
    UnknownToken,
    Vault,
    VaultError,
    scope_of,
)
from flujo_deidentifier.postgres import PostgresVault
from flujo_deidentifier.sqlite import SQLiteVault
from flujo_deidentifier.tokens import ALPHABET, new_random
from tests.postgres import execute, schema

KEYS = Keys({"k1": secrets.token_bytes(32)})
NORTH, SOUTH = scope_of("tenant", tenant="north"), scope_of("tenant", tenant="south")
JANE = ("email", "jane@example.com")
Made = Callable[[Callable[[], str]], Vault]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    """Return what opens one vault again and again."""
    if request.param == "memory":
        one: list[MemoryVault] = []

        def memory(draw: Callable[[], str]) -> Vault:
            one.append(MemoryVault(draw))
            one[-1]._rows, one[-1]._tokens = one[0]._rows, one[0]._tokens
            return one[-1]

        yield memory
    elif request.param == "sqlite":
        yield lambda draw: SQLiteVault(tmp_path / "vault.db", draw)
    else:
        with schema() as url:
            yield lambda draw: PostgresVault(url, draw)


@pytest.fixture
async def vault(made: Made) -> AsyncIterator[Vault]:
    vault = made(new_random)
    yield vault
    await vault.close()


async def test_one_value_has_one_token_in_a_scope(vault: Vault) -> None:
    first = await vault.tokens(KEYS, NORTH, [JANE, JANE, ("name", "Jane")])
    again = await vault.tokens(KEYS, NORTH, [("name", "Jane"), JANE, ("name", JANE[1])])
    other = await vault.tokens(KEYS, SOUTH, [JANE])
    assert first.items() <= again.items()
    assert len({*again.values(), *other.values()}) == 4
    assert all(len(one) == 10 and {*one} <= {*ALPHABET} for one in again.values())
    token = first[JANE]
    assert await vault.values(KEYS, NORTH, [("email", token)]) == {token: JANE[1]}


async def test_odd_values_are_kept_as_they_are(vault: Vault) -> None:
    odd = ["\ud83d", "e\u0301", "\u00e9", "a\x00b", "\r\n", "x" * 10_000]
    tokens = await vault.tokens(KEYS, NORTH, [("name", one) for one in odd])
    assert len(set(tokens.values())) == len(odd)
    back = await vault.values(KEYS, NORTH, [("name", one) for one in tokens.values()])
    assert [back[tokens["name", one]] for one in odd] == odd


async def test_a_token_of_another_scope_or_kind_is_unknown(vault: Vault) -> None:
    token = (await vault.tokens(KEYS, NORTH, [JANE]))[JANE]
    for scope, entity, one in ((SOUTH, "email", token), (NORTH, "name", token), (NORTH, "email", "0" * 10)):
        with pytest.raises(UnknownToken):
            await vault.values(KEYS, scope, [(entity, one)])


async def test_wrong_keys_open_nothing(vault: Vault) -> None:
    token = (await vault.tokens(KEYS, NORTH, [JANE]))[JANE]
    with pytest.raises(UnknownToken):  # not even that there is such a scope
        await vault.values(Keys({"k1": secrets.token_bytes(32)}), NORTH, [("email", token)])


async def test_old_tokens_open_after_a_rotation_and_stay(made: Made) -> None:
    old, new, third = (secrets.token_bytes(32) for _ in range(3))
    vault = made(new_random)
    token = (await vault.tokens(Keys({"k1": old}), NORTH, [JANE]))[JANE]
    rotated = Keys({"k1": old, "k2": new})
    assert (await vault.tokens(rotated, NORTH, [JANE]))[JANE] == token
    fresh = (await vault.tokens(rotated, NORTH, [("name", "Bob")]))["name", "Bob"]
    assert await vault.values(rotated, NORTH, [("email", token), ("name", fresh)]) == {
        token: JANE[1],
        fresh: "Bob",
    }
    # The keys of what is sealed are gone, but not the one that it is found by; then that one, too.
    with pytest.raises(UnknownKey):
        await vault.values(Keys({"k1": old}), NORTH, [("name", fresh)])
    moved = Keys({"k2": new, "k1": old, "k3": third})
    assert await vault.values(moved, NORTH, [("email", token)]) == {token: JANE[1]}
    await vault.close()


async def test_a_drawn_token_that_is_in_use_is_drawn_anew(made: Made) -> None:
    drawn = iter(["AAAAAAAAAA"] * 4 + ["BBBBBBBBBB", "CCCCCCCCCC"])
    vault = made(lambda: next(drawn))
    first = await vault.tokens(KEYS, NORTH, [JANE])
    both = await vault.tokens(KEYS, NORTH, [JANE, ("name", "Jane"), ("name", "Bob")])
    assert first[JANE] == "AAAAAAAAAA"
    assert sorted(both.values()) == ["AAAAAAAAAA", "BBBBBBBBBB", "CCCCCCCCCC"]
    await vault.close()


async def test_where_no_free_token_is_drawn_it_says_so(made: Made) -> None:
    drawn = cycle(["AAAAAAAAAA"])
    vault = made(lambda: next(drawn))
    await vault.tokens(KEYS, NORTH, [JANE])
    with pytest.raises(VaultError, match="no free token"):
        await vault.tokens(KEYS, NORTH, [("name", "Bob")])
    await vault.close()


async def test_many_who_write_at_once_agree(made: Made) -> None:
    vaults = [made(new_random) for _ in range(4)]
    wanted = [("name", f"person {at}") for at in range(40)]
    told = await asyncio.gather(
        *(
            vault.tokens(KEYS, NORTH, wanted[::-1] if at % 2 else wanted)
            for at, vault in enumerate(vaults * 3)
        )
    )
    assert all(one == told[0] for one in told)
    assert len(set(told[0].values())) == 40
    for vault in vaults:
        await vault.close()


async def test_what_is_forgotten_never_opens_again(vault: Vault) -> None:
    token = (await vault.tokens(KEYS, NORTH, [JANE]))[JANE]
    kept = (await vault.tokens(KEYS, SOUTH, [JANE]))[JANE]
    assert await vault.forget(KEYS, NORTH) == 1
    with pytest.raises(UnknownToken):
        await vault.values(KEYS, NORTH, [("email", token)])
    assert await vault.values(KEYS, SOUTH, [("email", kept)]) == {kept: JANE[1]}
    assert (await vault.tokens(KEYS, NORTH, [JANE]))[JANE] != token


async def test_a_row_that_was_changed_does_not_open(tmp_path: Path) -> None:
    vault = SQLiteVault(tmp_path / "vault.db")
    bob = ("email", "bob@example.com")
    tokens = await vault.tokens(KEYS, NORTH, [JANE, bob])
    with sqlite3.connect(tmp_path / "vault.db") as other:
        other.execute(
            "UPDATE deid_tokens SET sealed = (SELECT sealed FROM deid_tokens WHERE token = ?)"
            " WHERE token = ?",
            (tokens[bob], tokens[JANE]),
        )
    other.close()
    with pytest.raises(DamagedToken):
        await vault.values(KEYS, NORTH, [("email", tokens[JANE])])
    await vault.close()


async def test_nothing_in_the_file_can_be_read(tmp_path: Path) -> None:
    vault = SQLiteVault(tmp_path / "vault.db")
    scope = scope_of("subject", tenant="north", subject="patient-4711")
    await vault.tokens(KEYS, scope, [JANE])
    held = b"".join(one.read_bytes() for one in tmp_path.iterdir())
    for told in (b"jane", b"example.com", b"north", b"4711"):
        assert told not in held
    assert (tmp_path / "vault.db").stat().st_mode & 0o077 == 0
    await vault.close()


CHILD = """
import asyncio, sys
from base64 import b64decode
from flujo_deidentifier import Keys, Vault, scope_of
keys = Keys({"k1": b64decode(sys.stdin.readline())})
wanted = [("name", f"person {at}") for at in range(30)]
tokens = asyncio.run(Vault.at(sys.argv[1]).tokens(keys, scope_of("tenant"), wanted))
print(" ".join(tokens[one] for one in wanted))
"""


@pytest.mark.e2e
def test_processes_that_open_and_write_at_once_agree(tmp_path: Path) -> None:
    from base64 import b64encode

    key = b64encode(secrets.token_bytes(32)).decode()
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path / "vault.db")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    told = [one.communicate(key + "\n", timeout=50)[0] for one in started]
    assert [one.returncode for one in started] == [0] * 4
    assert len({*told}) == 1
    assert len({*told[0].split()}) == 30


def test_a_file_of_others_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(VaultError, match="another application"):
        Vault.at(path)
    assert path.read_bytes() == before
    (tmp_path / "text.db").write_text("no database at all, but long enough to be read as one by somebody")
    with pytest.raises(VaultError):
        Vault.at(tmp_path / "text.db")
    with pytest.raises(VaultError, match="cannot make"):
        Vault.at(tmp_path / "none" / "vault.db")


def test_a_vault_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    asyncio.run(Vault.at(tmp_path / "vault.db").close())
    with sqlite3.connect(tmp_path / "vault.db") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(VaultError, match="version 99"):
        Vault.at(tmp_path / "vault.db")


async def test_a_database_of_a_newer_version_is_refused() -> None:
    with schema() as url:
        vault = Vault.at(url)
        await vault.tokens(KEYS, NORTH, [JANE])
        await vault.close()
        await execute(url, "INSERT INTO deid_schema VALUES (99)")
        with pytest.raises(VaultError, match="version 99"):
            await Vault.at(url).tokens(KEYS, NORTH, [JANE])


async def test_a_server_that_is_away_is_named_without_its_password() -> None:
    vault = Vault.at("postgresql://ada:secret@127.0.0.1:9/vault")
    with pytest.raises(VaultError, match=r"127\.0\.0\.1/vault") as caught:
        await vault.tokens(KEYS, NORTH, [JANE])
    assert "secret" not in str(caught.value)

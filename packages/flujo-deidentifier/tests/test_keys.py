"""Keys come from files, the environment or a keyring, rotate, and never show."""

import copy
import os
import pickle
import secrets
import sys
import traceback
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest

from flujo_deidentifier import DamagedToken, KeyProblem, Keys, UnknownKey
from flujo_deidentifier.keys import framed, new_key

RAW = secrets.token_bytes(32)
WRITTEN = b64encode(RAW).decode()
NewKeys = Callable[..., Keys]


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_file(tmp_path: Path) -> None:
    keys = Keys.from_file(key_file(tmp_path, f'active = "k1"\n[keys]\nk1 = "{WRITTEN}"\n'))
    assert (keys.active, keys.anchor, list(keys)) == ("k1", "k1", ["k1"])
    assert keys.check == Keys({"k1": RAW}).check


@pytest.mark.skipif(sys.platform == "win32", reason="modes are those of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_file_that_others_may_use_is_refused(mode: int, tmp_path: Path) -> None:
    path = key_file(tmp_path, f'[keys]\nk1 = "{WRITTEN}"\n', mode)
    with pytest.raises(KeyProblem, match=f"mode {mode:o}"):
        Keys.from_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no toml",
        '[keys]\nk1 = "not base64!"',
        f'[keys]\nk1 = "{WRITTEN[:20]}"',
        f'[keys]\n"K 1" = "{WRITTEN}"',
        f'active = "k2"\n[keys]\nk1 = "{WRITTEN}"',
        f'other = "k2"\n[keys]\nk1 = "{WRITTEN}"',
        f'keys = "{WRITTEN}"',
        f"[keys]\nk1 = {WRITTEN}",
    ],
    ids=range(9),
)
def test_a_bad_key_file_is_refused_and_shows_nothing(text: str, tmp_path: Path) -> None:
    with pytest.raises(KeyProblem) as caught:
        Keys.from_file(key_file(tmp_path, text))
    shown = "".join(traceback.format_exception(caught.value))
    assert WRITTEN[:20] not in shown
    assert caught.value.fix


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(KeyProblem, match="cannot be read") as caught:
        Keys.from_file(tmp_path / "none.toml")
    assert "new-key" in caught.value.fix


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "FLUJO_DEIDENTIFIER_KEYS", f"k1:{WRITTEN} k2:{b64encode(secrets.token_bytes(32)).decode()}"
    )
    keys = Keys.from_env()
    assert (keys.active, keys.anchor) == ("k2", "k1")
    monkeypatch.setenv("FLUJO_DEIDENTIFIER_KEYS", WRITTEN)
    with pytest.raises(KeyProblem, match="no list of keys") as caught:
        Keys.from_env()
    assert WRITTEN not in str(caught.value)
    monkeypatch.delenv("FLUJO_DEIDENTIFIER_KEYS")
    with pytest.raises(KeyProblem, match="holds no keys"):
        Keys.from_env()


def test_the_keyring() -> None:
    keyring = pytest.importorskip("keyring")
    backend = pytest.importorskip("keyring.backend")

    class Ring(backend.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return f"k1:{WRITTEN}" if service == "flujo-deidentifier" else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise NotImplementedError

        def delete_password(self, service: str, username: str) -> None:
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        assert Keys.from_keyring().check == Keys({"k1": RAW}).check
        with pytest.raises(KeyProblem, match="holds nothing"):
            Keys.from_keyring("other")
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("weak", [b"", b"short", b"\0" * 32, b"ab" * 16])
def test_a_weak_key_is_refused(weak: bytes) -> None:
    with pytest.raises(KeyProblem, match="too weak"):
        Keys({"k1": weak})


def test_keys_never_show() -> None:
    keys = Keys({"k1": RAW})
    shown = f"{keys!r} {keys}"
    assert RAW.hex() not in shown
    assert repr(RAW)[2:12] not in shown
    assert WRITTEN not in shown
    for leave in (pickle.dumps, copy.deepcopy, copy.copy):
        with pytest.raises(TypeError):
            leave(keys)


def test_a_new_key_makes_a_private_file_and_the_next_is_added(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    assert new_key(path) == "k1"
    first = Keys.from_file(path)
    assert new_key(path) == "k2"
    both = Keys.from_file(path)
    assert (both.active, both.anchor, list(both)) == ("k2", "k1", ["k1", "k2"])
    assert both.check == first.check
    assert os.stat(path).st_mode & 0o077 == 0
    assert [one.name for one in tmp_path.iterdir()] == ["keys.toml"]
    with pytest.raises(KeyProblem, match="already"):
        new_key(path, "k1")


def test_what_was_sealed_opens_with_its_key_and_what_it_is_bound_to() -> None:
    old, new = secrets.token_bytes(32), secrets.token_bytes(32)
    before = Keys({"k1": old})
    sealed = before.seal("encrypt", b"jane", b"north", b"name")
    after = Keys({"k1": old, "k2": new})
    assert after.open("encrypt", "k1", sealed, b"north", b"name") == b"jane"
    assert after.seal("encrypt", b"jane", b"north", b"name") != sealed
    for bound in ((b"south", b"name"), (b"north", b"email"), (b"north",), (b"nort", b"hname")):
        with pytest.raises(DamagedToken):
            after.open("encrypt", "k1", sealed, *bound)
    with pytest.raises(UnknownKey):
        Keys({"k2": new}).open("encrypt", "k1", sealed, b"north", b"name")
    with pytest.raises(DamagedToken, match="another key of this name"):
        Keys({"k1": new}).open("encrypt", "k1", sealed, b"north", b"name")


def test_purposes_have_keys_of_their_own() -> None:
    keys = Keys({"k1": RAW})
    assert len({keys.mac(purpose, b"x") for purpose in ("hash", "index", "shift", "surrogate")}) == 4


def test_parts_are_framed() -> None:
    assert framed(b"ab", b"c") != framed(b"a", b"bc") != framed(b"abc")


def test_rotation_keeps_what_is_only_derived(new_keys: NewKeys) -> None:
    old = secrets.token_bytes(32)
    before, after = Keys({"k1": old}), Keys({"k1": old, "k2": secrets.token_bytes(32)})
    assert before.mac("surrogate", b"jane") == after.mac("surrogate", b"jane")
    assert after.active == "k2"
    assert Keys({"k1": old, "k2": RAW}, anchor="k2").mac("hash", b"x") == Keys({"k2": RAW}).mac("hash", b"x")

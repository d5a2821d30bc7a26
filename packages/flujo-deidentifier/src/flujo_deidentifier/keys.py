"""Keys: where they come from, which of them is in use, and what is derived of them."""

import binascii
import os
import re
import secrets
import stat
import sys
import tomllib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from hmac import digest
from pathlib import Path
from typing import Literal, Self, cast, final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flujo_deidentifier.errors import DamagedToken, KeyProblem, UnknownKey

SIZE = 32
"""How many bytes a key has at least."""
VARIABLE = "FLUJO_DEIDENTIFIER_KEYS"
"""The environment variable, and the name in a keyring, that holds keys."""

Purpose = Literal["encrypt", "hash", "index", "seal", "shift", "surrogate"]
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,15}")


@final
class Keys:
    """Keys by id: one is active and makes what is new, one is the anchor, all of them open what is old.

    What can be opened again (tokens) is made with the active key. What is only derived (hashes, surrogates,
    shifts of dates, the vault's index) is made with the anchor, so that it stays the same when keys rotate.
    Nothing shows the keys: not `repr`, not an error.

    Args:
        keys: The keys by id, the oldest first; each of at least 32 random bytes.
        active: The id of the active key; the last when left out.
        anchor: The id of the anchor; the first when left out.

    Raises:
        KeyProblem: There is none, one is too short or no chance at all, or an id names none.
    """

    __slots__ = ("_derived", "_keys", "active", "anchor")

    def __init__(self, keys: Mapping[str, bytes], *, active: str = "", anchor: str = "") -> None:
        if not keys:
            raise KeyProblem(
                "there is no key", fix="make one: python -m flujo_deidentifier new-key keys.toml"
            )
        for name, key in keys.items():
            if not _ID.fullmatch(name):
                raise KeyProblem(
                    f"{name!r} cannot name a key", fix="use up to 16 of a-z, 0-9, '-' and '_', such as 'k1'"
                )
            if len(key) < SIZE or len(set(key)) < SIZE // 4:
                raise KeyProblem(
                    f"the key {name!r} is too weak: {len(key)} bytes, {len(set(key))} of them different",
                    fix=f"use {SIZE} random bytes: python -m flujo_deidentifier new-key keys.toml",
                )
        self.active = active or list(keys)[-1]
        self.anchor = anchor or next(iter(keys))
        for what, name in (("active", self.active), ("anchor", self.anchor)):
            if name not in keys:
                raise KeyProblem(f"{what}={name!r} is none of the keys", fix=f"choose from {', '.join(keys)}")
        self._keys = dict(keys)
        self._derived: dict[tuple[str, str], bytes] = {}

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read keys from a TOML file that only its owner may read.

        It holds ``active`` and ``anchor`` (both may be left out) and a table ``[keys]`` of ids and keys in
        base64. ``python -m flujo_deidentifier new-key PATH`` writes one, and adds keys to it.

        Raises:
            KeyProblem: It is missing, no such file, or others than its owner may read or write it.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                _check_private(path, os.fstat(file.fileno()))
                told = tomllib.loads(file.read().decode())
        except OSError as error:
            raise KeyProblem(
                f"the key file {path} cannot be read: {error.strerror}",
                fix=f"check the path, or make one: python -m flujo_deidentifier new-key {path}",
            ) from None
        except ValueError:  # the text of a parser's error may hold a part of a key
            raise KeyProblem(f"the key file {path} is no TOML", fix="see Keys.from_file") from None
        keys: object = told.get("keys")
        if not isinstance(keys, dict) or not {*told} <= {"active", "anchor", "keys"}:
            raise KeyProblem(f"the key file {path} holds something else", fix="see Keys.from_file")
        named = {name: str(key) for name, key in cast("dict[str, object]", keys).items()}
        active, anchor = str(told.get("active", "")), str(told.get("anchor", ""))
        return cls(_decoded(named, f"the key file {path}"), active=active, anchor=anchor)

    @classmethod
    def from_env(cls, name: str = VARIABLE) -> Self:
        """Read keys from an environment variable: ``k1:BASE64 k2:BASE64``, the oldest first.

        Raises:
            KeyProblem: It is not set, or holds something else.
        """
        told = os.environ.get(name, "")
        if not told.strip():
            raise KeyProblem(f"the environment variable {name} holds no keys", fix=f"set {name}=k1:BASE64")
        return cls._listed(told, f"the environment variable {name}")

    @classmethod
    def from_keyring(cls, service: str = "flujo-deidentifier", name: str = VARIABLE) -> Self:
        """Read keys from the keyring of the operating system, written as for `from_env`.

        Raises:
            KeyProblem: The extra `keyring` is not installed, there is no keyring, or it holds no such keys.
        """
        try:
            import keyring
            from keyring.errors import KeyringError
        except ImportError:
            raise KeyProblem(
                "keys from the keyring need the package keyring, which is not installed",
                fix="pip install 'flujo-deidentifier[keyring]'",
            ) from None
        try:
            told = keyring.get_password(service, name)
        except KeyringError as error:
            raise KeyProblem(
                f"the keyring cannot be read ({type(error).__name__})", fix="unlock it, or use a key file"
            ) from None
        if not told:
            raise KeyProblem(
                f"the keyring holds nothing for {service} {name}", fix=f"keyring set {service} {name}"
            )
        return cls._listed(told, f"what the keyring holds for {service}")

    @classmethod
    def _listed(cls, told: str, place: str) -> Self:
        named: dict[str, str] = {}
        for part in told.replace(",", " ").split():
            name, colon, key = part.partition(":")
            if not colon or name in named:
                raise KeyProblem(f"{place} is no list of keys", fix="write k1:BASE64 k2:BASE64, oldest first")
            named[name] = key
        return cls(_decoded(named, place))

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __repr__(self) -> str:
        return f"Keys({len(self._keys)} keys, active={self.active!r}, anchor={self.anchor!r})"

    def __reduce__(self) -> str:
        raise TypeError("keys are not copied or pickled")

    @property
    def check(self) -> str:
        """What tells the anchor from another key of the same name, and nothing of the key itself."""
        return self.check_of(self.anchor)

    def check_of(self, key_id: str) -> str:
        """Return what tells a key from another of the same name."""
        return self.mac("index", b"check", key_id=key_id)[:8].hex()

    def mac(self, purpose: Purpose, *parts: bytes, key_id: str = "") -> bytes:
        """Return 32 bytes that only who has the key can derive from the parts; with the anchor by default."""
        return digest(self._key(key_id or self.anchor, purpose, SIZE), framed(*parts), "sha256")

    def seal(self, purpose: Purpose, text: bytes, *bound: bytes) -> bytes:
        """Return a text encrypted with the active key; it opens only together with what it is bound to.

        AES-256-SIV (RFC 5297): equal texts bound to the same are equal when sealed, and nothing else shows.
        """
        siv = AESSIV(self._key(self.active, purpose, 2 * SIZE))
        return siv.encrypt(b"\0" + text, [framed(*bound)])  # an empty text cannot be sealed

    def open(self, purpose: Purpose, key_id: str, sealed: bytes, *bound: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            UnknownKey: The key is not at hand.
            DamagedToken: It was changed, bound to something else, or sealed with another key of this name.
        """
        if key_id not in self._keys:
            raise UnknownKey(f"the token was made with the key {key_id!r}, which is not at hand")
        try:
            siv = AESSIV(self._key(key_id, purpose, 2 * SIZE))
            return siv.decrypt(sealed, [framed(*bound)])[1:]
        except InvalidTag:
            raise DamagedToken(
                f"a token does not open with the key {key_id!r}: it was changed, belongs to another scope, "
                "or was made with another key of this name"
            ) from None

    def _key(self, key_id: str, purpose: Purpose, size: int) -> bytes:
        """Return the key of a purpose, of which none tells another (HKDF, RFC 5869)."""
        derived = self._derived.get((key_id, purpose))
        if derived is None:
            kdf = HKDF(SHA256(), size, salt=None, info=b"flujo-deidentifier/1/" + purpose.encode())
            derived = self._derived[key_id, purpose] = kdf.derive(self._keys[key_id])
        return derived


def framed(*parts: bytes) -> bytes:
    """Return parts as one, so that no two lists of parts give the same."""
    return b"".join(len(part).to_bytes(8) + part for part in parts)


def new_key(path: Path, key_id: str = "") -> str:
    """Write a key file with one random key, or add an active one to it; return the key's id.

    Raises:
        KeyProblem: The file cannot be written, or has a key of this id.
    """
    known = Keys.from_file(path) if path.exists() else None
    key_id = key_id or f"k{1 + len(list(known or ()))}"
    if known is not None and key_id in known:
        raise KeyProblem(f"{path} has a key {key_id!r} already", fix="choose another id with --id")
    fresh = secrets.token_bytes(SIZE)
    keys = Keys(
        {**({} if known is None else known._keys), key_id: fresh}, anchor=known.anchor if known else ""
    )
    lines = [f'active = "{key_id}"', f'anchor = "{keys.anchor}"', "", "[keys]"]
    lines += [f'{name} = "{b64encode(key).decode()}"' for name, key in keys._keys.items()]
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise KeyProblem(f"the key file {path} cannot be written: {error.strerror}") from None
    return key_id


def _decoded(keys: Mapping[str, str], place: str) -> dict[str, bytes]:
    try:
        return {name: b64decode(key, validate=True) for name, key in keys.items()}
    except (binascii.Error, ValueError):
        raise KeyProblem(f"{place}: a key is not written in base64", fix="see Keys.from_file") from None


def _check_private(path: Path, facts: os.stat_result) -> None:
    if sys.platform == "win32":
        return
    others = stat.S_IMODE(facts.st_mode) & 0o077
    if others or facts.st_uid not in (0, os.geteuid()):
        raise KeyProblem(
            f"the key file {path} is open to others than its owner (mode {stat.S_IMODE(facts.st_mode):o})",
            fix=f"chown it to the user of this process, and chmod 600 {path}",
        )

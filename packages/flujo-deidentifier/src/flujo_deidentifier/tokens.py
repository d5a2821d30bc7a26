"""Tokens: what stands in a text for a value that can be put back.

Two kinds: ``[EMAIL:7K3M9QX2ABC]`` is ten random characters (50 bits), under which a vault keeps the value,
and one that tells a slip; ``[EMAIL:k1.4yYg…]`` is the value itself, encrypted with the key that is named.
"""

import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256

from flujo_deidentifier.errors import DamagedToken

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no letter is taken for a figure."""
BITS = 50
LENGTH = BITS // 5
LITERAL = "literal"
"""The entity of what looks like a token and is none: it is kept as if it were personal."""

PATTERN = re.compile(
    r"\[(?P<entity>[A-Z][A-Z0-9_]{0,39}):(?:"
    r"(?P<random>[0-9A-Z]{11})"
    r"|(?P<key>[a-z0-9][a-z0-9_-]{0,15})\.(?P<sealed>[A-Za-z0-9_-]{22,})"
    r")\]"
)
"""What looks like a token. It begins and ends with a bracket and has none between: two never overlap."""
NAMES = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What an entity must be called to have tokens."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, taken apart.

    Attributes:
        entity: What it stands for.
        random: Its random part; empty where it holds the value itself.
        key_id: The key that it was made with; empty where a vault knows.
        sealed: What is encrypted; empty where a vault keeps the value.
        text: The token as it stands in a text.
    """

    entity: str
    random: str
    key_id: str
    sealed: bytes
    text: str

    @property
    def digest(self) -> str:
        """What names it in a record."""
        return sha256(self.text.encode()).hexdigest()[:16]


def new_random() -> str:
    """Return the random part of a new token."""
    number = secrets.randbits(BITS)
    return "".join(ALPHABET[number >> 5 * at & 31] for at in range(LENGTH))


def random_token(entity: str, random: str) -> str:
    """Return the token of a value that a vault keeps."""
    return f"[{entity.upper()}:{random}{_slip(entity, random)}]"


def sealed_token(entity: str, key_id: str, sealed: bytes) -> str:
    """Return the token that holds an encrypted value."""
    return f"[{entity.upper()}:{key_id}.{urlsafe_b64encode(sealed).decode().rstrip('=')}]"


def token_of(match: re.Match[str]) -> Token:
    """Return what a match of `PATTERN` says.

    Raises:
        DamagedToken: It was changed since it was given.
    """
    entity = match["entity"].lower()
    if match["random"] is not None:
        random, slip = match["random"][:LENGTH], match["random"][LENGTH:]
        if slip != _slip(entity, random):
            raise DamagedToken(f"a token of kind {entity!r} was changed: its last character does not fit")
        return Token(entity, random, "", b"", match[0])
    written = match["sealed"]
    sealed = urlsafe_b64decode(written + "=" * (-len(written) % 4)) if len(written) % 4 != 1 else b""
    token = Token(entity, "", match["key"], sealed, match[0])
    if sealed_token(entity, token.key_id, sealed) != match[0]:  # characters that stand for the same bytes
        raise DamagedToken(f"a token of kind {entity!r} was changed: it is not written as ours are")
    return token


def _slip(entity: str, random: str) -> str:
    """Return the character that shows a slip in what stands before it."""
    return ALPHABET[sha256(f"{entity}:{random}".encode()).digest()[0] & 31]

"""Surrogates: something made up of the same kind, drawn from a keyed digest of what it stands for.

None of it can be anybody's where a range is set aside for such use: names of domains by RFC 2606, addresses
by RFC 5737 and RFC 3849, telephone numbers of North America 555-0100 to 0199, social security numbers with
the group 00. Other numbers keep their shape and get other figures: somebody may have them.
"""

import re
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from pathlib import Path

_WORD = re.compile(r"[^\W\d_]+")
_PARTICLES = frozenset({
    "al", "bin", "da", "de", "del", "della", "den", "der", "di", "do", "dos", "du", "el", "la", "le",
    "los", "mac", "mc", "of", "ter", "van", "von", "y", "zu", "zur", "dr", "mr", "mrs", "ms", "prof",
})  # fmt: skip
_STREETS = ("Street", "Avenue", "Road", "Lane", "Drive", "Court", "Place", "Terrace")
_PHONE_PREFIX = re.compile(r"\+\d{1,3}(?=[\s().-])|\+1(?=\d{10}\b)|\+\d{2}")
_NORTH_AMERICAN = re.compile(r"(\+?1[\s.-]?)?\(?\d{3}\)?[\s.-]?\d{3}[\s.-]?\d{4}")

Digest = Callable[[str], bytes]
"""Returns 32 bytes that stand for a text, by a key and a scope."""


class Draw:
    """Numbers that follow from bytes, as if by chance."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._count = 0

    def below(self, limit: int) -> int:
        """Return the next number from 0 to below a limit."""
        self._count += 1
        block = sha256(self._seed + self._count.to_bytes(8)).digest()
        return int.from_bytes(block[:16]) % limit

    def figures(self, count: int) -> str:
        """Return so many figures."""
        return "".join(str(self.below(10)) for _ in range(count))


def surrogate(entity: str, value: str, digest: Digest) -> str | None:
    """Return what is made up for a value: the same for what is the same however it is written; never itself.

    Args:
        entity: What the value is.
        value: The value.
        digest: What is drawn from.

    Returns:
        The surrogate; None where nothing is made up for such a kind (a secret, a picture).
    """
    for turn in range(16):
        salted = f"{turn}" if turn else ""
        made = _made(entity, value, lambda text, more=salted: digest(text + more))
        if made is None or made.casefold() != value.casefold():
            return made
    return None


def _made(entity: str, value: str, digest: Digest) -> str | None:
    match entity:
        case "name":
            return _name(value, digest)
        case "age" | "biometric" | "photo" | "secret":
            return None
        case "url" | "email" | "ip" | "mac" | "address":
            return _DRAWN[entity](Draw(digest(value.strip().casefold())), value)
        case "card" | "iban" | "phone" | "ssn":
            return _DRAWN[entity](Draw(digest(_plain(value))), value)
        case _:
            return _shaped(Draw(digest(_plain(value))), value)


def _plain(value: str) -> str:
    """Return a number without what only groups its figures."""
    return "".join(filter(str.isalnum, value)).casefold()


@cache
def _names() -> tuple[str, ...]:
    return tuple(Path(__file__).with_name("names.txt").read_text(encoding="utf-8").split())


def _name(value: str, digest: Digest) -> str:
    """Return a name, word for word: who is called by a part of it is called by the same part."""

    def other(match: re.Match[str]) -> str:
        word = match[0]
        if word.casefold() in _PARTICLES:
            return word
        name = _drawn_name(Draw(digest(word.casefold())), word)
        name = name[0] if len(word) == 1 else name
        return name.upper() if word.isupper() else name.lower() if word.islower() else name

    return _WORD.sub(other, value)


def _drawn_name(draw: Draw, word: str) -> str:
    names = _names()
    while True:
        name = names[draw.below(len(names))]
        if name.casefold() != word.casefold() and (len(word) > 1 or name[0].casefold() != word.casefold()):
            return name


def _email(draw: Draw, value: str) -> str:
    names = _names()
    one, other = (names[draw.below(len(names))].lower() for _ in range(2))
    return f"{one}.{other}{draw.figures(4)}@example.{('com', 'net', 'org')[draw.below(3)]}"


def _url(draw: Draw, value: str) -> str:
    return f"https://example.com/{draw.below(1 << 48):012x}"


def _ip(draw: Draw, value: str) -> str:
    if ":" in value:
        groups = ":".join(f"{draw.below(1 << 16):x}" for _ in range(6))
        return f"2001:db8:{groups}"
    net = ("192.0.2", "198.51.100", "203.0.113")[draw.below(3)]
    return f"{net}.{draw.below(254) + 1}"


def _mac(draw: Draw, value: str) -> str:
    mark = "-" if "-" in value else ":"
    return mark.join(("02", *(f"{draw.below(256):02x}" for _ in range(5))))


def _address(draw: Draw, value: str) -> str:
    name = _names()[draw.below(len(_names()))]
    number = f"{draw.below(998) + 1} " if any(map(str.isdecimal, value)) else ""
    return f"{number}{name} {_STREETS[draw.below(len(_STREETS))]}" if number else f"{name}ton"


def _card(draw: Draw, value: str) -> str:
    count = sum(map(str.isdecimal, value))
    if count < 12:
        return _shaped(draw, value)
    first = next(filter(str.isdecimal, value))
    body = first + "00000" + draw.figures(count - 7)
    return _poured(value, body + _luhn(body))


def _luhn(body: str) -> str:
    doubled = (int(figure) * (2 if at % 2 == 0 else 1) for at, figure in enumerate(reversed(body)))
    return str(-sum(number // 10 + number % 10 for number in doubled) % 10)


def _iban(draw: Draw, value: str) -> str:
    plain = "".join(filter(str.isalnum, value)).upper()
    country = plain[:2]
    if not (country.isascii() and country.isalpha() and len(plain) > 6):
        return _shaped(draw, value)
    account = "".join(str(draw.below(10)) if one.isdecimal() else one for one in plain[4:])
    told = "".join(str(int(one, 36)) for one in account + country + "00")
    made = country + f"{98 - int(told) % 97:02}" + account
    return _poured(value, made)


def _ssn(draw: Draw, value: str) -> str:
    count = sum(map(str.isdecimal, value))
    if count != 9:
        return _shaped(draw, value)
    return _poured(value, f"{draw.below(665) + 1:03}00{draw.figures(4)}")


def _phone(draw: Draw, value: str) -> str:
    if _NORTH_AMERICAN.fullmatch(value.strip()):
        area = f"{draw.below(8) + 2}{draw.below(9)}{draw.below(10)}"
        figures = f"{area}55501{draw.figures(2)}"
        return _poured(value, figures if sum(map(str.isdecimal, value)) == 10 else "1" + figures)
    prefix = _PHONE_PREFIX.match(value)
    kept = prefix[0] if prefix else ""
    return kept + _shaped(draw, value[len(kept) :])


def _shaped(draw: Draw, value: str) -> str:
    """Return other figures for figures and other letters for letters; what did not begin with 0 does not."""
    made: list[str] = []
    for one in value:
        if one.isdecimal():
            made.append(
                str(draw.below(9) + 1 if one != "0" and not "".join(made).strip() else draw.below(10))
            )
        elif one.isalpha():
            letter = chr(ord("a") + draw.below(26))
            made.append(letter.upper() if one.isupper() else letter)
        else:
            made.append(one)
    return "".join(made)


def _poured(shape: str, made: str) -> str:
    """Return figures and letters in the grouping of others."""
    rest = iter(made)
    return "".join(next(rest, "") if one.isalnum() else one for one in shape) + "".join(rest)


_DRAWN: dict[str, Callable[[Draw, str], str]] = {
    "address": _address,
    "card": _card,
    "email": _email,
    "iban": _iban,
    "ip": _ip,
    "mac": _mac,
    "phone": _phone,
    "ssn": _ssn,
    "url": _url,
}

"""Identifiers inside encodings: escapes, character references, base64, hexadecimal."""

import re
from base64 import b64decode, urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator
from html import unescape

from flujo.governance.pii.view import Rewriting, View

_ESCAPE = re.compile(
    r"(?P<percent>(?:%[0-9A-Fa-f]{2})+)|(?P<html>&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}"
    r"|commat|period|nbsp|amp|plus|hyphen|dash|colon|lpar|rpar|sol);)"
    r"|(?P<unicode>\\u\{?[0-9A-Fa-f]{4,6}\}?|\\x[0-9A-Fa-f]{2})"
)
_CHUNK = re.compile(r"[^\s<>\"]+")
_MARK = re.compile(r"%[0-9A-Fa-f]{2}|&#?\w{2,8};|\\u|\\x")
_BASE64 = re.compile(r"[A-Za-z0-9+/](?<![A-Za-z0-9+/_=-].)[A-Za-z0-9+/_-]{11,}={0,2}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?:0x)?(?P<h>(?:[2-7][0-9A-Fa-f]){6,})(?![0-9A-Za-z])")
_TEXT = re.compile(r"[\w\s.,;:@/+()'\"{}\[\]=&?!%#<>*$€£|\\^~`-]+")


def decoded(text: str) -> Iterator[tuple[int, int, View, bool]]:
    """Yield what is encoded in a text: its span, what it reads as, and whether it counts as a whole.

    Parts of an escaped stretch have places of their own in the text; parts of base64 or hexadecimal have not.
    """
    if _MARK.search(text):
        yield from _escaped(text)
    for match in _BASE64.finditer(text):
        if inner := _from_base64(match[0]):
            yield match.start(), match.end(), View(inner), True
    for match in _HEX.finditer(text):
        inner = _read(bytes.fromhex(match["h"]))
        if inner:
            yield match.start(), match.end(), View(inner), True


def _escaped(text: str) -> Iterator[tuple[int, int, View, bool]]:
    for chunk in _CHUNK.finditer(text):
        if not _MARK.search(chunk[0]):
            continue
        rewriting = Rewriting(text, chunk.start(), chunk.end())
        changed = False
        for match in _ESCAPE.finditer(text, chunk.start(), chunk.end()):
            changed = _replaced(rewriting, match) or changed
        if changed:
            yield chunk.start(), chunk.end(), rewriting.view(), False


def _replaced(rewriting: Rewriting, match: re.Match[str]) -> bool:
    found, start = match[0], match.start()
    if match["percent"]:
        for character in bytes.fromhex(found.replace("%", "")).decode("utf-8", "replace"):
            size = 3 * (1 if character == "\ufffd" else len(character.encode()))
            rewriting.replace(start, start + size, character)
            start += size
        return True
    if match["html"]:
        reads = unescape(found)
    elif match["unicode"]:
        reads = chr(min(int(found[2:].strip("{}"), 16), 0x10FFFF))
    else:
        return False
    rewriting.replace(start, match.end(), reads)
    return True


def _from_base64(found: str) -> str:
    bare = found.rstrip("=")
    # Chance makes words and hashes look encoded; what was text decodes to text.
    if len(bare) % 4 == 1 or len(bare) < 12:
        bare = bare[: len(bare) // 4 * 4]
    padded = bare + "=" * (-len(bare) % 4)
    try:
        raw = urlsafe_b64decode(padded) if "-" in bare or "_" in bare else b64decode(padded)
    except (NotBase64, ValueError):
        return ""
    return _read(raw)


def _read(raw: bytes) -> str:
    try:
        inner = raw.decode()
    except UnicodeDecodeError:
        return ""
    return inner if len(inner) >= 6 and _TEXT.fullmatch(inner) else ""

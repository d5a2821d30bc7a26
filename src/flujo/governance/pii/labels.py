"""What the words before a number say it is: `Tel.`, `Kontonummer`, `order no.` and many more.

The nearest word that says something decides, also against: a number called an order is no telephone number.
Words are compared without case, and German compounds without their `nummer`.
"""

import re

from flujo.governance.pii.words import table

OTHER = "other"
"""What a word says that names no personal data: an order, an amount."""
REVISION = "revision"
"""What a word says of numbers with points: a version, a section."""

_TABLE = {word: kind for kind, listed in table("labels").items() for word in listed}
_WORD = re.compile(r"[^\W\d_]+")
_ENDINGS = ("nummer", "nr", "number", "nummern", "no", "id", "num")
REACH = 60
"""How many characters before a number may say what it is."""


def label_before(text: str, at: int, words: int = 0) -> str:
    """Return what the nearest telling word before a place says, or ''; `words` says how many to look at."""
    begin = at - REACH
    piece = text[max(0, begin) : at]
    # A line above says nothing, unless what stands on it ends as a label does.
    cut = piece.rfind("\n")
    if cut >= 0 and not piece[:cut].rstrip().endswith((":", "=")):
        piece = piece[cut + 1 :]
    return said(_WORD.findall(piece)[-words:])


def label_after(text: str, at: int) -> str:
    """Return what one word in parentheses right after a place says, or ''."""
    match = _PARENTHESIS.match(text, at)
    return kind_of(match[1]) if match else ""


_PARENTHESIS = re.compile(r"[ ]?\(([^\W\d_]+)\)")


def said(words: list[str]) -> str:
    """Return what the last telling word says; two words together say more than the latter alone."""
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if at and (kind := _TABLE.get(f"{words[at - 1]} {word}".casefold(), "")):
            return kind
        if kind := kind_of(word):
            return kind
    return ""


def kind_of(word: str) -> str:
    """Return what a word says of a number that follows, or ''."""
    word = word.casefold()
    if kind := _TABLE.get(word, ""):
        return kind
    if word.endswith(_ENDINGS):
        for ending in _ENDINGS:
            if word.endswith(ending) and len(word) > len(ending) + 2:
                return _TABLE.get(word[: -len(ending)], "")
    return ""

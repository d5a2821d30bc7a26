"""A text as rules read it: without invisible characters, in plain digits and letters; its spans lead back.

What is written to be overlooked (zero-width characters, full-width digits, look-alike letters) is read as
what it looks like. Every span found in the view is told as a span of the original text.
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060"
    "-\u206f\ufe00-\ufe0f"
    "\ufeff\U000e0000-\U000e01ef]+"
)
_COMPOSED = re.compile("[^\\W\\d_][\u0300-\u036f]{1,4}")
_LIKE_LATIN = str.maketrans(
    "аеорсухіјѕԁһӏвкмнтАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧοαιѵԛԝ",
    "aeopcyxijsdhlbkmhtABEKMHOPCTYXIJSABEZHIKMNOPTYXoaivqw",
)
_FOREIGN = re.compile("[\u0370-\u03ff\u0400-\u052f]")
_LATIN = re.compile("[A-Za-z@]")
_TOKEN = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class View:
    """A text to search, and how its places lead back.

    Attributes:
        text: What the rules read.
        starts: Where each stretch of `text` begins; empty where every place is its own.
        origins: Where the same stretch begins in the original text.
        solid: Whether a stretch stands for another text as a whole (a decoded one), by place.
    """

    text: str
    starts: tuple[int, ...] = ()
    origins: tuple[int, ...] = ()
    solid: tuple[bool, ...] = ()

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of the original text that a span of the view stands for."""
        if not self.starts:
            return start, end
        first = bisect_right(self.starts, start) - 1
        last = bisect_right(self.starts, end - 1) - 1
        begin = self.origins[first] + (0 if self.solid[first] else start - self.starts[first])
        if self.solid[last]:
            return begin, self.origins[last + 1]
        return begin, self.origins[last] + end - self.starts[last]


class Rewriting:
    """Builds a view from stretches of a text that are kept, left out or replaced."""

    def __init__(self, text: str, start: int = 0, end: int | None = None) -> None:
        self._text = text
        self._at = start
        self._end = len(text) if end is None else end
        self._length = 0
        self._parts: list[str] = []
        self._places: list[tuple[int, int, bool]] = []

    def replace(self, start: int, end: int, by: str) -> None:
        """Read `by` instead of the stretch; what stands before it, since the last call, is kept."""
        self._keep(start)
        if by:
            self._add(by, start, solid=True)
        self._at = end

    def view(self) -> View:
        """Return the view, with the rest of the text kept."""
        self._keep(self._end)
        # The place after the end closes a last stretch that stands for another.
        places = [*self._places, (self._length, self._end, False)]
        starts, origins, solid = zip(*places, strict=True)
        return View("".join(self._parts), starts, origins, solid)

    def _keep(self, until: int) -> None:
        if until > self._at:
            self._add(self._text[self._at : until], self._at, solid=False)

    def _add(self, part: str, origin: int, *, solid: bool) -> None:
        self._places.append((self._length, origin, solid))
        self._parts.append(part)
        self._length += len(part)


def view_of(text: str) -> View:
    """Return the view of a text; plain ASCII is its own view and costs nothing."""
    if text.isascii():
        return View(text)
    plain = text.translate(_plain())
    if _FOREIGN.search(plain):
        plain = _TOKEN.sub(_latin, plain)
    rewriting: Rewriting | None = None
    for pattern in (_INVISIBLE, _COMPOSED):
        if pattern.search(plain):
            rewriting = Rewriting(plain)
    if rewriting is None:
        return View(plain)
    marks = re.compile(f"{_INVISIBLE.pattern}|{_COMPOSED.pattern}")
    for match in marks.finditer(plain):
        found = match[0]
        rewriting.replace(
            match.start(), match.end(), "" if _INVISIBLE.match(found) else unicodedata.normalize("NFC", found)
        )
    return rewriting.view()


def _latin(match: re.Match[str]) -> str:
    """Read look-alikes as Latin where a word mixes both scripts, which no language does."""
    token = match[0]
    return token.translate(_LIKE_LATIN) if not token.isascii() and _LATIN.search(token) else token


@cache
def _plain() -> dict[int, str]:
    """Return what single characters look like: digits of all scripts, full-width and mathematical letters."""
    table = {
        code: str(unicodedata.decimal(chr(code))) for code in range(0x660, 0x1FBFA) if chr(code).isdecimal()
    }
    for first, last in (
        (0xFF01, 0xFF5E),
        (0x1D400, 0x1D7FF),
        (0x2460, 0x24FF),
        (0x2070, 0x209F),
        (0x00B2, 0x00B9),
    ):
        for code in range(first, last + 1):
            looks = unicodedata.normalize("NFKC", chr(code))
            if len(looks) == 1 and looks.isascii():
                table[code] = looks
    table.update(
        dict.fromkeys(
            map(ord, "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"), " "
        )
    )
    table.update(dict.fromkeys(map(ord, "\u200a\u202f\u205f\u3000"), " "))
    table.update(dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe58\ufe63\uff0d"), "-"))
    table.update(dict.fromkeys(map(ord, "\u2018\u2019\u201a\u02bc\u2032"), "'"))
    table.update(
        {ord("\ufe6b"): "@", ord("\u3002"): ".", ord("\uff61"): ".", ord("\u2024"): ".", ord("\uff65"): "."}
    )
    return table

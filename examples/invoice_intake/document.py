"""What was read from a file: lines of words with their places, or why nothing could be read.

Everything after the reading works on these values, never on the PDF itself: they are plain data that a
journal can record, and a layout survives in them (columns, rows, what stands above what).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import date
from functools import cached_property, lru_cache
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

#: Gaps between two words, in multiples of the line's height: up to TIGHT a number may go on ("1 234,56"),
#: beyond WIDE another column begins.
TIGHT, WIDE = 0.42, 0.85


class Word(NamedTuple):
    """A word and its left and right edge on the page, in points."""

    text: str
    x0: float
    x1: float


class Cell(NamedTuple):
    """Part of a line between two wide gaps: its text, its place in the line's text and on the page."""

    text: str
    start: int
    end: int
    x0: float
    x1: float


class Line(BaseModel):
    """Words that stand beside each other.

    `text` joins them with one blank inside a phrase, two where the gap is doubtful and a tab where a
    column ends, so that a pattern can tell `1 234,56` from a quantity beside a price.
    """

    model_config = ConfigDict(frozen=True)

    page: int
    top: float
    bottom: float
    words: tuple[Word, ...]

    @cached_property
    def text(self) -> str:
        """The words, joined by how far apart they stand."""
        return "".join(word.text + gap for word, gap in zip(self.words, (*self._gaps, ""), strict=True))

    @cached_property
    def folded(self) -> str:
        """The text in lower case without accents, position by position the same as `text`."""
        return fold(self.text)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The line cut at its wide gaps."""
        cells: list[Cell] = []
        start = 0
        for part in self.text.split("\t"):
            end = start + len(part)
            x0, x1 = self.extent(start, end)
            cells.append(Cell(part, start, end, x0, x1))
            start = end + 1
        return tuple(cells)

    def extent(self, start: int, end: int) -> tuple[float, float]:
        """The left and right edge of a range of the text; a part of a word counts by its share."""
        edges: list[float] = []
        at = 0
        for word, gap in zip(self.words, (*self._gaps, ""), strict=True):
            stop = at + len(word.text)
            if at < end and stop > start:
                width = (word.x1 - word.x0) / max(len(word.text), 1)
                edges.append(word.x0 + width * (max(start, at) - at))
                edges.append(word.x0 + width * (min(end, stop) - at))
            at = stop + len(gap)
        return (min(edges), max(edges)) if edges else (0.0, 0.0)

    @cached_property
    def _gaps(self) -> tuple[str, ...]:
        height = max(self.bottom - self.top, 1.0)
        return tuple(
            _gap((right.x0 - left.x1) / height)
            for left, right in zip(self.words, self.words[1:], strict=False)
        )


def _gap(width: float) -> str:
    if width <= TIGHT:
        return " "
    return "  " if width <= WIDE else "\t"


class Clues(BaseModel):
    """What the whole document says about how to read its numbers and dates."""

    model_config = ConfigDict(frozen=True)

    language: str = "en"
    languages: tuple[str, ...] = ("en",)
    countries: tuple[str, ...] = ()
    decimal_mark: Literal[".", ","] | None = None
    currencies: tuple[str, ...] = ()


class Document(BaseModel):
    """A PDF with text: all its lines from top to bottom, page after page."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["document"] = "document"
    file: str
    pages: int
    lines: tuple[Line, ...]
    width: float = 0.0
    created: date | None = None
    complete: bool = True
    clues: Clues = Clues()

    @cached_property
    def text(self) -> str:
        """The whole text, one printed line a line."""
        return "\n".join(line.text for line in self.lines)

    @cached_property
    def folded(self) -> str:
        """The whole text in lower case without accents."""
        return "\n".join(line.folded for line in self.lines)

    def above(self, index: int) -> Iterator[Line]:
        """The lines of the same page over a line, nearest first."""
        here = self.lines[index]
        for line in reversed(self.lines[:index]):
            if line.page != here.page:
                return
            yield line

    def below(self, index: int) -> Iterator[Line]:
        """The lines of the same page under a line, nearest first."""
        here = self.lines[index]
        for line in self.lines[index + 1 :]:
            if line.page != here.page:
                return
            yield line


class Unreadable(BaseModel):
    """A file that gave no text, and why; `reason` is a sentence for the person who decides."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["unreadable"] = "unreadable"
    file: str
    problem: Literal["missing", "not_a_pdf", "encrypted", "corrupt", "no_text", "too_large"]
    reason: str


#: What reading a file gives.
Reading = Annotated[Document | Unreadable, Field(discriminator="kind")]

_SAME = {
    "ł": "l", "ø": "o", "đ": "d", "ı": "i", "’": "'", "‘": "'", "´": "'", "`": "'", "−": "-",
    "–": "-", "—": "-",
    "\u00a0": " ", "\u202f": " ", "\u2009": " ", "º": "°", "˚": "°", "№": "n",
}  # fmt: skip


@lru_cache(maxsize=4096)
def _fold_character(character: str) -> str:
    if character in _SAME:
        return _SAME[character]
    lower = unicodedata.normalize("NFD", character)[0].lower()
    return _SAME.get(lower, lower)[:1]


def fold(text: str) -> str:
    """Lower the text and drop its accents, keeping every position (one character stays one)."""
    return "".join(map(_fold_character, text))

"""Reading a PDF: its words with their places, or a sentence that says why there are none.

A file that is missing, encrypted, damaged, no PDF or a picture of paper is an everyday thing in an inbox:
it is an answer (`Unreadable`), not an exception.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, cast

import pdfplumber
from pdfminer.pdfdocument import PDFEncryptionError, PDFPasswordIncorrect
from pdfplumber.page import Page
from pdfplumber.utils.exceptions import PdfminerException

from .clues import clues_of
from .document import Document, Line, Reading, Unreadable, Word

#: More than this is no invoice anybody posts unseen; the rest of a longer file is left unread and said so.
MAX_PAGES = 40
MAX_BYTES = 50_000_000
#: Text smaller than this is invisible on paper; what nobody can see must not decide a payment.
SMALLEST_TYPE = 3.0

logging.getLogger("pdfminer").setLevel(logging.ERROR)


def read_pdf(path: str | Path) -> Reading:
    """Read the text of a PDF with its layout.

    Never raises for what is wrong with the file: each such case is an `Unreadable` with its reason.

    Args:
        path: the file to read; its last part names the document from here on.
    """
    path = Path(path)
    problem = _refuse(path)
    if problem is not None:
        return problem
    try:
        with pdfplumber.open(path) as pdf:
            pages = pdf.pages
            lines = [line for page in pages[:MAX_PAGES] for line in _lines(page)]
            created = _created(cast("dict[str, Any]", pdf.metadata))
            width = float(pages[0].width) if pages else 0.0
    except PdfminerException as error:
        return _unreadable(path, error.args[0] if error.args else error)
    except Exception as error:  # noqa: BLE001 -- hostile bytes make the parser raise anything
        return _unreadable(path, error)
    if sum(len(word.text) for line in lines for word in line.words) < 12:
        return Unreadable(
            file=path.name,
            problem="no_text",
            reason=f"{path.name} has no text layer: probably a scan. Read it by eye, or run OCR on it first.",
        )
    document = Document(
        file=path.name,
        pages=len(pages),
        lines=tuple(lines),
        width=width,
        created=created,
        complete=len(pages) <= MAX_PAGES,
    )
    return document.model_copy(update={"clues": clues_of(document)})


def _refuse(path: Path) -> Unreadable | None:
    if not path.is_file():
        return Unreadable(file=path.name, problem="missing", reason=f"There is no file {path.name}.")
    size = path.stat().st_size
    if size > MAX_BYTES:
        return Unreadable(
            file=path.name,
            problem="too_large",
            reason=f"{path.name} has {size:,} bytes; the limit is {MAX_BYTES:,}.",
        )
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        return Unreadable(
            file=path.name, problem="missing", reason=f"{path.name} cannot be opened: {error.strerror}."
        )
    if b"%PDF-" not in head:
        return Unreadable(file=path.name, problem="not_a_pdf", reason=f"{path.name} is not a PDF file.")
    return None


def _unreadable(path: Path, error: object) -> Unreadable:
    if isinstance(error, PDFPasswordIncorrect | PDFEncryptionError):
        return Unreadable(
            file=path.name,
            problem="encrypted",
            reason=f"{path.name} is protected by a password. Ask the sender for an open copy.",
        )
    return Unreadable(
        file=path.name,
        problem="corrupt",
        reason=f"{path.name} is damaged and cannot be read ({type(error).__name__}).",
    )


def _lines(page: Page) -> list[Line]:
    """The page's words, gathered into lines: two words stand in one line if half of the smaller overlaps."""
    x0, top, x1, bottom = page.bbox

    def visible(item: dict[str, Any]) -> bool:
        if item.get("object_type") != "char":
            return True
        inside = (
            x0 <= item["x0"]
            and item["x1"] <= x1 + 1
            and top - 1 <= item["top"]
            and item["bottom"] <= bottom + 1
        )
        return bool(inside and item["size"] >= SMALLEST_TYPE and item.get("upright", True))

    cleaned = page.filter(visible).dedupe_chars(tolerance=0.5)
    words = cleaned.extract_words(x_tolerance_ratio=0.17, y_tolerance=2)
    rows: list[list[dict[str, Any]]] = []
    for word in sorted(words, key=lambda item: (item["top"] + item["bottom"]) / 2):
        for row in reversed(rows[-4:]):
            if _beside(row[-1], word):
                row.append(word)
                break
        else:
            rows.append([word])
    return [_line(page.page_number, row) for row in rows]


def _beside(left: dict[str, Any], right: dict[str, Any]) -> bool:
    shared = min(left["bottom"], right["bottom"]) - max(left["top"], right["top"])
    return shared > 0.5 * min(left["bottom"] - left["top"], right["bottom"] - right["top"])


def _line(number: int, row: Iterable[dict[str, Any]]) -> Line:
    ordered = sorted(row, key=lambda item: item["x0"])
    return Line(
        page=number,
        top=round(min(float(item["top"]) for item in ordered), 1),
        bottom=round(max(float(item["bottom"]) for item in ordered), 1),
        words=tuple(
            Word(_clean(str(item["text"])), round(float(item["x0"]), 1), round(float(item["x1"]), 1))
            for item in ordered
        ),
    )


def _clean(text: str) -> str:
    """Undo what fonts do to text: ligatures, undecodable glyphs, zero-width and non-breaking blanks."""
    text = re.sub(r"\(cid:\d+\)", "\ufffd", text)
    for old, new in (
        ("\u00a0", " "),
        ("\u200b", ""),
        ("\u00ad", "-"),
        ("ﬁ", "fi"),
        ("ﬂ", "fl"),
        ("\u2212", "-"),
    ):
        text = text.replace(old, new)
    return text


def _created(metadata: dict[str, Any]) -> date | None:
    """The day the file says it was made; a hint for the order of day and month, never a date by itself."""
    found = re.match(r"D:(\d{4})(\d{2})(\d{2})", str(metadata.get("CreationDate", "")))
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None

"""Drawing plain pages of text as PDF, byte for byte the same each time; for samples and tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import NamedTuple

from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

A4 = (595.28, 841.89)
LETTER = (612.0, 792.0)


class Text(NamedTuple):
    """A piece of text: `x` from the left (from its right end if `right`) and `y` from the top, in points."""

    x: float
    y: float
    text: str
    size: float = 10
    right: bool = False
    bold: bool = False


def draw_pdf(
    pages: Sequence[Iterable[Text]], *, size: tuple[float, float] = A4, password: str | None = None, title: str = "Sample"
) -> bytes:
    """Draw pages of text with the core fonts, which hold all of Windows-1252 and so the euro sign.

    Args:
        pages: the pieces of each page.
        size: width and height of the pages in points.
        password: encrypts the file so that it opens with this password only.
        title: the title in the file's properties.
    """
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=size, invariant=1, encrypt=password, pageCompression=1)
    canvas.setTitle(title)
    for page in pages:
        for piece in page:
            font = "Helvetica-Bold" if piece.bold else "Helvetica"
            canvas.setFont(font, piece.size)
            draw = canvas.drawRightString if piece.right else canvas.drawString
            draw(piece.x, size[1] - piece.y, piece.text)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def draw_scan(png: BytesIO, *, size: tuple[float, float] = A4, title: str = "Sample") -> bytes:
    """A page that is one picture and no text, as a scanner makes it."""
    buffer = BytesIO()
    canvas = Canvas(buffer, pagesize=size, invariant=1, pageCompression=1)
    canvas.setTitle(title)
    canvas.drawImage(ImageReader(png), 0, 0, width=size[0], height=size[1])
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def text_width(text: str, size: float = 10, *, bold: bool = False) -> float:
    """The width of a text in points."""
    return float(pdfmetrics.stringWidth(text, "Helvetica-Bold" if bold else "Helvetica", size))


def rows(
    y: float, lines: Sequence[Sequence[str]], at: Sequence[float], *, step: float = 15, size: float = 9, right: str = ""
) -> list[Text]:
    """A table: each line's cells at the given places; columns named by their index in `right` are flush right."""
    return [
        Text(x, y + step * row, cell, size, str(column) in right)
        for row, line in enumerate(lines)
        for column, (cell, x) in enumerate(zip(line, at, strict=False))
        if cell
    ]


def block(x: float, y: float, lines: Sequence[str], *, step: float = 13, size: float = 9) -> list[Text]:
    """Lines under each other."""
    return [Text(x, y + step * row, line, size) for row, line in enumerate(lines)]

"""Drawing invented invoices as PDF from page files, byte for byte the same each time.

A page file states the facts of an invoice and then where its words stand:

    supplier: Thistle & Wren Stationers Ltd
    gross: 411.60
    --- page
    60: 50*/17 Thistle & Wren Stationers Ltd | 545>*/20 INVOICE
    330: 400 Subtotal | 545> £343.00

Each line of a page is `y: cell | cell`, each cell `x`, then `>` if x is its right end, `*` if it is bold and
`/size` if it is not 9 points, a blank, and the text. All places are points from the upper left corner.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from fpdf import FPDF
from PIL import Image, ImageDraw, ImageFont

SIZES = {"a4": (595.28, 841.89), "letter": (612.0, 792.0), "scan": (595.28, 841.89)}
#: The day that every drawn file says it was made; a fixed one, so that the bytes are the same each time.
MADE = datetime(2000, 1, 1, tzinfo=UTC)
_CELL = re.compile(r"(?P<x>[\d.]+)(?P<right>>)?(?P<bold>\*)?(?:/(?P<size>[\d.]+))? (?P<text>.+)")


class Text(NamedTuple):
    """A piece of text; `x` is its left end, or its right end if `right`; `y` is its base line."""

    x: float
    y: float
    text: str
    size: float = 9
    right: bool = False
    bold: bool = False


@dataclass(frozen=True)
class Sheet:
    """An invented paper: the facts that it states, its pages, and its paper: a4, letter or scan."""

    name: str
    stated: dict[str, str]
    pages: tuple[tuple[Text, ...], ...]
    paper: str = "a4"


def read_sheet(path: Path) -> Sheet:
    """Read a page file.

    Args:
        path: the file; its name without the ending names the sheet.
    """
    head, *pages = path.read_text(encoding="utf-8").split("--- page\n")
    stated = dict(line.split(": ", 1) for line in head.splitlines() if line)
    paper = stated.pop("paper", "a4")
    return Sheet(path.stem, stated, tuple(tuple(_pieces(page)) for page in pages), paper)


def _pieces(page: str) -> list[Text]:
    pieces: list[Text] = []
    for line in page.splitlines():
        y, _, cells = line.partition(": ")
        for cell in cells.split(" | "):
            found = _CELL.fullmatch(cell.strip())
            if found is None:
                raise ValueError(
                    f"{cell!r} in {line!r} is no cell: write `x text`, `x> text` or `x*/size text`."
                )
            size = float(found["size"] or 9)
            right, bold = found["right"] is not None, found["bold"] is not None
            pieces.append(Text(float(found["x"]), float(y), found["text"], size, right, bold))
    return pieces


def draw_sheet(sheet: Sheet, *, notice: str = "", password: str | None = None) -> bytes:
    """Draw a sheet as PDF with a core font, which holds all of Windows-1252 and so the euro sign.

    Args:
        sheet: what to draw.
        notice: a line for the foot of each page.
        password: encrypts the file so that it opens with this password only.
    """
    width, height = SIZES[sheet.paper]
    foot = (Text(40, height - 18, notice, 7),) if notice else ()
    pdf = FPDF(unit="pt", format=(width, height))
    pdf.core_fonts_encoding = "windows-1252"
    pdf.set_creation_date(MADE)
    pdf.set_title(f"Invented: {sheet.name}")
    pdf.set_auto_page_break(False)
    if password is not None:
        pdf.set_encryption(owner_password=password, user_password=password)
    for page in sheet.pages:
        pdf.add_page()
        if sheet.paper == "scan":
            pdf.image(_picture((*page, *foot), width, height), 0, 0, width, height)
        else:
            _write(pdf, (*page, *foot))
    return bytes(pdf.output())


def _write(pdf: FPDF, pieces: Sequence[Text]) -> None:
    for piece in pieces:
        pdf.set_font("helvetica", "B" if piece.bold else "", piece.size)
        left = piece.x - pdf.get_string_width(piece.text) if piece.right else piece.x
        pdf.text(left, piece.y, piece.text)


def _picture(pieces: Sequence[Text], width: float, height: float) -> BytesIO:
    """The page as a scanner sees it: grey dots, no text."""
    image = Image.new("L", (round(width), round(height)), 250)
    draw = ImageDraw.Draw(image)
    for piece in pieces:
        font = ImageFont.load_default(size=max(piece.size, 10))
        draw.text((piece.x, piece.y - piece.size), piece.text, fill=30, font=font)
    draw.line((40, 260, width - 40, 264), fill=120, width=2)
    png = BytesIO()
    image.save(png, format="PNG", optimize=True)
    png.seek(0)
    return png

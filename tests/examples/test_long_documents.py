"""Long documents: each reader passes over them a fixed number of times, however many rows they have."""

from __future__ import annotations

import time
from decimal import Decimal

from examples.invoice_intake.clues import clues_of
from examples.invoice_intake.document import Document, Line, Word
from examples.invoice_intake.gather import read_facts
from examples.invoice_intake.line_items import find_lines

ROWS = 40
PATIENCE = 30.0
"""Seconds; a pass takes three, and a search over pairs of rows takes minutes."""


def printed(page: int, row: int, words: str, *amounts: str) -> Line:
    """A line of a page: words at the left, and amounts that end at the same places in every row."""
    top = 40.0 + row * 16
    at = 50.0
    placed: list[Word] = []
    for word in words.split():
        placed.append(Word(word, at, at + 5.0 * len(word)))
        at += 5.0 * len(word) + 2.5
    for edge, amount in zip((400.0, 545.0), amounts, strict=False):
        placed.append(Word(amount, edge - 5.0 * len(amount), edge))
    return Line(page=page, top=top, bottom=top + 9, words=tuple(placed))


def long_document(pages: int, total: str) -> Document:
    """An invoice without column heads: two amounts in each of forty rows a page."""
    lines = [
        printed(page, row, f"Widget {page}-{row}", "1.50", "3.00")
        for page in range(1, pages + 1)
        for row in range(ROWS)
    ]
    lines.append(printed(pages, ROWS + 2, "To pay", f"{total}"))
    document = Document(file="long.pdf", pages=pages, lines=tuple(lines), width=595.0)
    return document.model_copy(update={"clues": clues_of(document)})


def test_300_pages_without_column_heads_are_read_in_one_pass() -> None:
    document = long_document(300, "36,000.00")
    began = time.monotonic()
    assert len(find_lines(document).items) == 300 * ROWS
    assert time.monotonic() - began < PATIENCE


def test_40_pages_are_read_by_all_readers() -> None:
    document = long_document(40, "4,800.00")
    began = time.monotonic()
    facts = read_facts(document)
    assert time.monotonic() - began < PATIENCE
    assert facts.lines.total == Decimal("4800.00")

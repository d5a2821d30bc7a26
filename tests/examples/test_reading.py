"""A file that cannot be read is an answer with a reason, whatever is wrong with it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from examples.invoice_intake.document import Document, Reading
from examples.invoice_intake.drawing import draw_sheet, read_sheet
from examples.invoice_intake.gather import read_facts
from examples.invoice_intake.make_samples import PAGES
from examples.invoice_intake.proof import prove
from examples.invoice_intake.reading import read_pdf

SAMPLE = read_sheet(PAGES / "01-english-pounds.page")


def problem(content: bytes, folder: Path) -> str:
    """What is wrong with a file of these bytes."""
    path = folder / "file.pdf"
    path.write_bytes(content)
    reading = read_pdf(path)
    assert_unproved(reading)
    return "" if reading.kind == "document" else reading.problem


def assert_unproved(reading: Reading) -> None:
    """Whatever it is, facts and proof are made of it without an error, and nothing is proved."""
    facts = read_facts(reading)
    proof = prove(reading, facts)
    assert not proof.proved
    assert proof.reason


def test_a_document_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "good.pdf"
    path.write_bytes(draw_sheet(SAMPLE))
    reading = read_pdf(path)
    assert isinstance(reading, Document)
    assert "Subtotal\t£343.00" in reading.text
    assert Document.model_validate_json(reading.model_dump_json()) == reading


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not_a_pdf"),
        (b"Dear Sir or Madam", "not_a_pdf"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not_a_pdf"),
        (b"PK\x03\x04" + bytes(500), "not_a_pdf"),
        (b"%PDF-1.7\n" + bytes(2000), "corrupt"),
        (b"%PDF-1.4\n%%EOF", "corrupt"),
    ],
)
def test_what_is_no_pdf_or_none_any_more(content: bytes, expected: str, tmp_path: Path) -> None:
    assert problem(content, tmp_path) == expected


def test_a_password_is_named(tmp_path: Path) -> None:
    assert problem(draw_sheet(SAMPLE, password="secret"), tmp_path) == "encrypted"


def test_a_scan_has_no_text(tmp_path: Path) -> None:
    assert problem(draw_sheet(read_sheet(PAGES / "09-scan-without-text.page")), tmp_path) == "no_text"


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.pdf", tmp_path):
        reading = read_pdf(path)
        assert reading.kind == "unreadable"
        assert reading.problem == "missing"


@pytest.mark.parametrize("seed", range(25))
def test_damaged_bytes_never_raise_and_never_prove_another_amount(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    content = bytearray(draw_sheet(SAMPLE))
    for _ in range(chance.randint(1, 40)):
        content[chance.randrange(9, len(content))] = chance.randrange(256)
    path = tmp_path / "file.pdf"
    path.write_bytes(content[: chance.randint(len(content) // 3, len(content))])
    reading = read_pdf(path)
    facts = read_facts(reading)
    if prove(reading, facts).proved:
        assert str(facts.amounts.gross.value) == "411.60"


def test_hidden_words_do_not_count(tmp_path: Path) -> None:
    tiny = "60: 300/2 Grand total £1.00\n70: 300/2 Subtotal £1.00\n"
    outside = "80: 700 Amount due £1.00\n900: 50 Amount due £1.00\n"
    page = (PAGES / "01-english-pounds.page").read_text(encoding="utf-8") + tiny + outside
    (tmp_path / "hidden.page").write_text(page, encoding="utf-8")
    path = tmp_path / "hidden.pdf"
    path.write_bytes(draw_sheet(read_sheet(tmp_path / "hidden.page")))
    reading = read_pdf(path)
    assert isinstance(reading, Document)
    assert "£1.00" not in reading.text
    assert str(read_facts(reading).amounts.gross.value) == "411.60"

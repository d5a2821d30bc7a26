"""Whose name is read as the supplier's: never the head of a table."""

from __future__ import annotations

import pytest

from examples.invoice_intake.by_model import Answer, facts_from
from examples.invoice_intake.document import Document, Line, Word
from examples.invoice_intake.supplier import find_supplier

NUMBERED = "Invoice no. 4711"


def page(*rows: str) -> Document:
    """A page whose cells are divided by bars."""
    lines: list[Line] = []
    for row, cells in enumerate(rows):
        words = tuple(
            Word(word, 50.0 + 130 * column + at * 3.5, 50.0 + 130 * column + (at + len(word)) * 3.5)
            for column, cell in enumerate(cells.split(" | "))
            for at, word in _placed(cell)
        )
        lines.append(Line(page=1, top=40.0 + row * 16, bottom=49.0 + row * 16, words=words))
    return Document(file="paper.pdf", pages=1, lines=tuple(lines), width=595.0)


def _placed(cell: str) -> list[tuple[int, str]]:
    at, placed = 0, list[tuple[int, str]]()
    for word in cell.split():
        placed.append((at, word))
        at += len(word) + 1
    return placed


@pytest.mark.parametrize(
    "head",
    [
        "Description | Qty | Unit price | Amount",
        "Item | Hours | Rate | Line total",
        "Item code | Service | Cost | Amount",
        "Beschreibung | Menge | Einzelpreis | Betrag",
        "Pos. | Bezeichnung | Preis | Summe",
        "Désignation | Qté | Prix unitaire | Montant HT",
        "Descripción | Cantidad | Precio | Importe",
        "Descrizione | Quantità | Prezzo | Importo",
        "Omschrijving | Aantal | Prijs | Bedrag",
        "Beskrivning | Antal | Pris | Belopp",
        "Item Description",
        "Description of services",
    ],
)
def test_the_head_of_a_table_is_no_supplier(head: str) -> None:
    read = find_supplier(page(NUMBERED, head, "Widgets | 2 | 5.00 | 10.00")).supplier
    assert read.value in (None, "Widgets")
    assert not set(read.considered) & set(head.split(" | "))


def test_a_name_over_the_table_is_still_read() -> None:
    read = find_supplier(page("Item Studio", NUMBERED, "Description | Qty | Unit price | Amount")).supplier
    assert read.value == "Item Studio"


def test_a_model_cannot_name_the_head_of_a_table_either() -> None:
    paper = page(NUMBERED, "Description | Qty | Unit price | Amount", "Widgets | 2 | 5.00 | 10.00")
    none = dict.fromkeys(("number", "date", "due", "currency", "net", "tax", "gross"))
    answer = Answer.model_validate({"is_invoice": True, "supplier": "Description", "lines": [], **none})
    assert facts_from(paper, answer, "m").supplier.supplier.value is None

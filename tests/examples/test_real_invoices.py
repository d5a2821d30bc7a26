"""Real invoices with facts read by hand, where they lie beside the repository; they are not shipped."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

from examples.invoice_intake.facts import Facts
from examples.invoice_intake.gather import read_facts
from examples.invoice_intake.proof import Proof, prove
from examples.invoice_intake.reading import read_pdf

INVOICES = Path(__file__).parents[3] / "shared" / "data" / "invoices"
NAMES = ("AmazonWebServices", "FlipkartInvoice", "QualityHosting", "free_fiber")


def known(name: str) -> dict[str, str | float]:
    """The facts of an invoice; skips aloud where they are missing."""
    path = INVOICES / f"{name}.json"
    if not path.is_file():
        pytest.skip(f"the real invoice {name} is not beside the repository")
    facts: dict[str, str | float] = json.loads(path.read_text(encoding="utf-8"))[0]
    return facts


def read(name: str) -> tuple[Facts, Proof]:
    """The facts and the proof of an invoice."""
    reading = read_pdf(INVOICES / f"{name}.pdf")
    facts = read_facts(reading)
    return facts, prove(reading, facts)


@pytest.mark.parametrize("name", NAMES)
def test_real_invoice(name: str) -> None:
    want = known(name)
    facts, proof = read(name)
    assert facts.amounts.gross.value == Decimal(str(want["amount"]))
    assert str(facts.dates.issued.value) == want["date"]
    assert facts.amounts.currency.value == want["currency"]
    assert facts.supplier.number.value == str(want["invoice_number"]).lstrip("#")
    assert proof.proved, proof.reason
    if "amount_untaxed" in want and facts.amounts.net.value is not None:
        assert facts.amounts.net.value == Decimal(str(want["amount_untaxed"]))
    if "vat" in want:
        assert facts.supplier.vat_id.value == re.sub(r"\W", "", str(want["vat"]))


@pytest.mark.parametrize(
    ("name", "supplier"),
    [
        ("AmazonWebServices", "Amazon Web Services, Inc."),
        ("FlipkartInvoice", "WS Retail Services Pvt. Ltd."),
        ("QualityHosting", "QualityHosting AG"),
        ("free_fiber", "Free SAS"),
    ],
)
def test_supplier_of_a_real_invoice(name: str, supplier: str) -> None:
    known(name)
    assert read(name)[0].supplier.supplier.value == supplier


@pytest.mark.parametrize(
    ("name", "lines"), [("AmazonWebServices", 4), ("FlipkartInvoice", 1), ("QualityHosting", 7)]
)
def test_lines_of_a_real_invoice(name: str, lines: int) -> None:
    known(name)
    assert len(read(name)[0].lines.items) == lines

"""Posting: one invoice one key, one posting however often it is written, and rows as promised."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from contextlib import ExitStack
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from examples.invoice_intake.duplicates import duplicate_key, entry_key, number_key
from examples.invoice_intake.facts import AmountFacts, Fact, Facts, SupplierFacts
from examples.invoice_intake.posting import (
    COLUMNS,
    AlreadyPosted,
    Entry,
    ResultRow,
    csv_cells,
    ledger_csv,
    post,
    posted_before,
    posted_rows,
    posting_json,
    result_row,
    results_json,
    scripted_review,
)
from examples.invoice_intake.proof import Proof
from examples.invoice_intake.supplier import supplier_key

ENTRY = Entry(
    supplier="Müller & Söhne GmbH",
    number="RE-2024/001",
    date=date(2024, 2, 5),
    currency="EUR",
    net=Decimal(100),
    tax=Decimal("19.0"),
    gross=Decimal("119.00"),
)


def row(run_id: str = "run-1", entry: Entry = ENTRY) -> ResultRow:
    """A posted row."""
    return result_row("a.pdf", entry, proved=True, decision="posted", decided_by="proof", run_id=run_id)


@pytest.mark.parametrize(
    "name", ["Müller & Söhne GmbH", "MÜLLER & SÖHNE", "Muller  Sohne, GmbH.", "Müller & Söhne GmbH & Co. KG"]
)
def test_one_supplier_has_one_key(name: str) -> None:
    assert supplier_key(name) == "mullersohne"


def test_numbers_are_compared_without_signs() -> None:
    assert number_key("RE-2024/001") == number_key("re 2024 001") == "re2024001"
    assert number_key("000417") == "417"
    assert number_key("000") == "0"


def test_key_of_facts() -> None:
    facts = Facts(
        file="a.pdf",
        kind="invoice",
        supplier=SupplierFacts(
            supplier=Fact[str](value="Müller & Söhne GmbH"), number=Fact[str](value="RE-2024/001")
        ),
        amounts=AmountFacts(gross=Fact[Decimal](value=Decimal(119))),
    )
    assert duplicate_key(facts) == "mullersohne|re2024001|119.00"
    assert duplicate_key(facts.model_copy(update={"supplier": SupplierFacts()})) is None
    assert entry_key("A", "1", Decimal("1.00")) != entry_key("A", "1", Decimal("1.01"))


def test_row_has_the_promised_columns_and_formats() -> None:
    assert json.loads(posting_json(row())) == {
        "file": "a.pdf",
        "supplier": "Müller & Söhne GmbH",
        "number": "RE-2024/001",
        "date": "2024-02-05",
        "currency": "EUR",
        "net": "100.00",
        "tax": "19.00",
        "gross": "119.00",
        "proved": True,
        "decision": "posted",
        "decided_by": "proof",
        "run_id": "run-1",
    }
    assert list(json.loads(results_json([row()]))[0]) == list(COLUMNS)


def test_what_was_not_read_is_null_and_empty() -> None:
    unread = result_row("b.pdf", Entry(), proved=False, decision="rejected", decided_by="eva", run_id="r")
    assert json.loads(results_json([unread]))[0]["gross"] is None
    assert csv_cells(unread) == ["b.pdf", "", "", "", "", "", "", "", "false", "rejected", "eva", "r"]


def test_large_amounts_are_not_written_with_an_exponent() -> None:
    assert row(entry=ENTRY.model_copy(update={"gross": Decimal("1E+7")})).gross == "10000000.00"


def test_ledger_defuses_formulas_and_keeps_negative_amounts() -> None:
    evil = ENTRY.model_copy(update={"supplier": '=HYPERLINK("x")', "number": "-1+1", "gross": Decimal(-5)})
    (_, cells) = csv.reader(io.StringIO(ledger_csv([row(entry=evil)])))
    assert cells[1:3] == ['\'=HYPERLINK("x")', "'-1+1"]
    assert cells[7] == "-5.00"


def test_posting_twice_is_posting_once(tmp_path: Path) -> None:
    first = post(row(), tmp_path)
    before = (first.read_bytes(), (tmp_path / "ledger.csv").read_bytes())
    assert post(row(), tmp_path) == first
    assert (first.read_bytes(), (tmp_path / "ledger.csv").read_bytes()) == before
    assert posted_rows(tmp_path) == [row()]
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_another_run_cannot_post_the_same_invoice(tmp_path: Path) -> None:
    post(row("run-1"), tmp_path)
    with pytest.raises(
        AlreadyPosted, match=r"RE-2024/001 of Müller & Söhne GmbH over 119\.00 EUR was posted by run run-1"
    ):
        post(row("run-2", ENTRY.model_copy(update={"supplier": "müller & söhne"})), tmp_path)
    assert len(posted_rows(tmp_path)) == 1


POSTS = """
import sys
from pathlib import Path
from examples.invoice_intake.ledger import post_once
from examples.invoice_intake.posting import ResultRow
folder, run = Path(sys.argv[1]), sys.argv[2]
rows = [ResultRow.model_validate_json(line) for line in sys.stdin]
sys.stdout.write("ready\\n")
sys.stdout.flush()
while not (folder / "go").exists():
    pass
for row in rows:
    print(post_once(row.model_copy(update={"run_id": f"{run}-{row.number}"}), folder))
"""


def test_processes_that_post_the_same_invoices_at_once_post_each_once(tmp_path: Path) -> None:
    rows = [row(entry=ENTRY.model_copy(update={"number": f"N-{number}"})) for number in range(1, 16)]
    lines = "".join(f"{one.model_dump_json()}\n" for one in rows)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", POSTS, str(tmp_path), f"run-{at}"],
                    cwd=Path(__file__).parents[2],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for at in range(3)
        ]
        for process in processes:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(lines)
            process.stdin.close()
            assert process.stdout.readline() == "ready\n"
        (tmp_path / "go").touch()
        told = [process.stdout.read().split() for process in processes if process.stdout is not None]
        assert [process.wait(30) for process in processes] == [0, 0, 0]
    for at in range(len(rows)):
        assert [answers[at] for answers in told].count("True") == 1
    assert len(posted_rows(tmp_path)) == len(rows)
    assert (tmp_path / "ledger.csv").read_text(encoding="utf-8") == ledger_csv(posted_rows(tmp_path))
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_posted_before_names_the_run(tmp_path: Path) -> None:
    assert posted_before(ENTRY, tmp_path) is None
    post(row("run-1"), tmp_path)
    assert posted_before(ENTRY, tmp_path) == "run-1"
    assert posted_before(ENTRY.model_copy(update={"number": "other"}), tmp_path) is None
    assert posted_before(ENTRY.model_copy(update={"number": None}), tmp_path) is None


def test_the_scripted_reviewer_lets_only_proved_and_new_invoices_pass() -> None:
    proved, unproved = Proof(proved=True, reason="it adds up"), Proof(proved=False, reason="no total")
    assert scripted_review(proved, None).approve
    assert not scripted_review(unproved, None).approve
    assert not scripted_review(proved, "run-1").approve

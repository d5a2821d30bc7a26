"""Posting: the entry that a decision confirms, its row in results and ledger, and writing them once."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date as Day  # noqa: N812 -- the field is called date
from decimal import Decimal
from pathlib import Path
from typing import Literal

from .duplicates import entry_key
from .facts import Facts, Frozen
from .proof import Proof

DecisionWord = Literal["posted", "approved", "edited", "rejected"]
COLUMNS = (
    *("file", "supplier", "number", "date", "currency", "net", "tax", "gross"),
    *("proved", "decision", "decided_by", "run_id"),
)


class Entry(Frozen):
    """What is posted: the facts without their evidence. A person sees it, approves or edits it."""

    supplier: str | None = None
    number: str | None = None
    date: Day | None = None
    currency: str | None = None
    net: Decimal | None = None
    tax: Decimal | None = None
    gross: Decimal | None = None


class ResultRow(Frozen):
    """One row of `results.json`: dates in ISO 8601, amounts as decimal strings, null where not read."""

    file: str
    supplier: str | None
    number: str | None
    date: str | None
    currency: str | None
    net: str | None
    tax: str | None
    gross: str | None
    proved: bool
    decision: DecisionWord
    decided_by: str
    run_id: str


class Verdict(Frozen):
    """What the scripted reviewer decides, and why."""

    approve: bool
    reason: str


def entry_of(facts: Facts) -> Entry:
    """The entry that the facts propose."""
    return Entry(
        supplier=facts.supplier.supplier.value,
        number=facts.supplier.number.value,
        date=facts.dates.issued.value,
        currency=facts.amounts.currency.value,
        net=facts.amounts.net.value,
        tax=facts.amounts.tax.value,
        gross=facts.amounts.gross.value,
    )


def scripted_review(proof: Proof, duplicate_of: str | None) -> Verdict:
    """Decide where no person is there: only what is proved and new may pass.

    Args:
        proof: the proof of the invoice.
        duplicate_of: the run that posted the same invoice before, if any.
    """
    if duplicate_of is not None:
        return Verdict(approve=False, reason=f"It was posted before, in {duplicate_of}.")
    if not proof.proved:
        return Verdict(approve=False, reason=proof.reason)
    return Verdict(approve=True, reason=f"Proved: {proof.reason}")


def result_row(
    file: str, entry: Entry, *, proved: bool, decision: DecisionWord, decided_by: str, run_id: str
) -> ResultRow:
    """The row of results for one file.

    Args:
        file: its name.
        entry: what was posted, or what was read if it was rejected.
        proved: whether the amount was proved from the page.
        decision: what became of it.
        decided_by: "proof", or who decided.
        run_id: the run that holds the evidence.
    """
    return ResultRow(
        file=file,
        supplier=entry.supplier,
        number=entry.number,
        date=None if entry.date is None else entry.date.isoformat(),
        currency=entry.currency,
        net=_amount(entry.net),
        tax=_amount(entry.tax),
        gross=_amount(entry.gross),
        proved=proved,
        decision=decision,
        decided_by=decided_by,
        run_id=run_id,
    )


def posting_json(row: ResultRow) -> str:
    """The row as a JSON document."""
    return json.dumps(row.model_dump(), ensure_ascii=False, indent=2) + "\n"


def results_json(rows: Iterable[ResultRow]) -> str:
    """All rows as `results.json` holds them."""
    return json.dumps([row.model_dump() for row in rows], ensure_ascii=False, indent=2) + "\n"


def ledger_csv(rows: Sequence[ResultRow]) -> str:
    """The rows as CSV with a head; text that a spreadsheet would take for a formula is made plain text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(csv_cells(row) for row in rows)
    return out.getvalue()


def csv_cells(row: ResultRow) -> list[str]:
    """The cells of one CSV row, in the order of `COLUMNS`."""
    plain: dict[str, str] = {name: _cell(value) for name, value in row.model_dump().items()}
    return [plain[name] for name in COLUMNS]


def post(row: ResultRow, directory: Path) -> Path:
    """Write one posting and the ledger, once however often it is called.

    The file is named by the invoice (supplier, number, amount), or by the run where one of them is missing;
    a second call with the same row changes nothing, so a step that is repeated after a crash does no harm.
    Of two processes that post one invoice at once, one makes the file, and the other finds it.

    Raises:
        AlreadyPosted: if another run posted this invoice.
    """
    postings = directory / "postings"
    postings.mkdir(parents=True, exist_ok=True)
    path = postings / f"{_posting_name(row)}.json"
    if not write_whole(path, posting_json(row), replace=False):
        before = ResultRow.model_validate_json(path.read_text(encoding="utf-8"))
        if before.run_id != row.run_id:
            raise AlreadyPosted(before)
    write_ledger(directory)
    return path


class AlreadyPosted(Exception):
    """This invoice was posted by another run; reject it, or correct its supplier, number or amount first."""

    def __init__(self, before: ResultRow) -> None:
        super().__init__(
            f"Invoice {before.number} of {before.supplier} over {before.gross} {before.currency} was posted"
            f" by run {before.run_id}; reject this one, or correct what was misread."
        )
        self.before = before


def write_ledger(directory: Path) -> None:
    """Write the ledger again until it holds what is posted: others may post meanwhile."""
    rows = None
    while rows != (now := posted_rows(directory)):
        rows = now
        write_whole(directory / "ledger.csv", ledger_csv(rows))


def posted_rows(directory: Path) -> list[ResultRow]:
    """All postings of a directory, in the order of their file names."""
    files = sorted((directory / "postings").glob("*.json"))
    return [ResultRow.model_validate_json(file.read_text(encoding="utf-8")) for file in files]


def posted_before(entry: Entry, directory: Path) -> str | None:
    """The run that posted the same supplier, number and amount before; None if none did or one is unknown."""
    if entry.supplier is None or entry.number is None or entry.gross is None:
        return None
    key = entry_key(entry.supplier, entry.number, entry.gross)
    for row in posted_rows(directory):
        if (
            row.supplier
            and row.number
            and row.gross
            and entry_key(row.supplier, row.number, Decimal(row.gross)) == key
        ):
            return row.run_id
    return None


def write_whole(path: Path, text: str, *, replace: bool = True) -> bool:
    """Write a file so that a reader sees all of it or the file before; readable by its owner only.

    Returns:
        Whether it was written: always, unless a file that is there is not to be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(name, path)
            return True
        os.link(name, path)  # fails where the file is there, whoever was first
    except FileExistsError:
        return False
    finally:
        if os.path.lexists(name):
            os.unlink(name)
    return True


def _posting_name(row: ResultRow) -> str:
    if row.supplier and row.number and row.gross:
        key = entry_key(row.supplier, row.number, Decimal(row.gross))
        readable = re.sub(r"[^a-z0-9]+", "-", key)[:60].strip("-")
    else:
        key, readable = row.run_id, "unnamed"
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:10]}"


def _amount(value: Decimal | None) -> str | None:
    """A decimal string with at least two decimals, never in scientific notation."""
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{value:.{places}f}"


def _cell(value: str | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    formula = value[:1] in ("=", "+", "@", "\t", "\r") or (
        value[:1] == "-" and not re.fullmatch(r"-\d+(\.\d+)?", value)
    )
    return f"'{value}" if formula else value

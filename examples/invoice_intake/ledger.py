"""The ledger of a folder: what is posted, once, and taken back when its run is undone."""

from __future__ import annotations

from pathlib import Path

from .posting import AlreadyPosted, ResultRow, post, write_ledger


def post_once(row: ResultRow, folder: Path) -> bool:
    """Post a row; return False for what another run posted before, whoever approved it now."""
    try:
        post(row, folder)
    except AlreadyPosted:
        return False
    return True


def withdraw(row: ResultRow, folder: Path) -> None:
    """Take back what a run posted; nothing happens if it posted nothing."""
    for file in (folder / "postings").glob("*.json"):
        if ResultRow.model_validate_json(file.read_text(encoding="utf-8")).run_id == row.run_id:
            file.unlink(missing_ok=True)
    write_ledger(folder)

"""The ledger of a PostgreSQL store: what the function is given that keeps the accounts, and what it tells."""

import json
from collections.abc import Sequence
from typing import Any

from flujo.journal.ledger import LedgerEntry, Reserve, Settle, Shortfall
from flujo.journal.store import Batch


def entries(batches: Sequence[Batch]) -> str | None:
    """Return the ledger entries of batches as JSON, each with the place of its batch; None without any."""
    listed = [
        {"batch": place, "run": batch.run_id, "id": entry.id, **_facts(entry)}
        for place, batch in enumerate(batches)
        for entry in batch.ledger
    ]
    return json.dumps(listed) if listed else None


def claims(entry: Reserve) -> str:
    """Return what a reservation asks for, as JSON."""
    return json.dumps(_claims(entry))


def missing_of(written: Sequence[Any]) -> dict[int, tuple[Shortfall, ...]]:
    """Return what was missing for reservations, by the place of the batch that asked.

    Args:
        written: The row that the statement gave that wrote the batches.
    """
    found: dict[int, tuple[Shortfall, ...]] = {}
    told: str | None = written[1]
    for facts in json.loads(told or "[]"):
        place: int = facts.pop("batch")
        found[place] = (*found.get(place, ()), Shortfall(**facts))
    return found


def _facts(entry: LedgerEntry) -> dict[str, Any]:
    if isinstance(entry, Reserve):
        return {"claims": _claims(entry)}
    return {"spent": dict(entry.spent) if isinstance(entry, Settle) else {}}


def _claims(entry: Reserve) -> list[dict[str, Any]]:
    return [
        {"account": account, "meter": meter, "amount": amount, "at_most": limit}
        for account, meter, amount, limit in entry.claims
    ]

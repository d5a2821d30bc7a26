"""The ledger of an SQLite store: looked at and changed inside the writer's transaction, which is alone."""

import sqlite3
from collections.abc import Mapping

from flujo.journal.ledger import Balance, Release, Reserve, Settle, Shortfall, weigh
from flujo.journal.store import Batch


def keep(connection: sqlite3.Connection, sql: Mapping[str, str], batch: Batch) -> tuple[Shortfall, ...]:
    """Keep the ledger entries of a batch; return what was missing for reservations."""
    missing: tuple[Shortfall, ...] = ()
    for entry in batch.ledger:
        match entry:
            case Reserve():
                missing += _reserve(connection, sql, batch.run_id, entry)
            case Settle(id, spent):
                _settle(connection, sql, batch.run_id, id, spent)
            case Release(id):
                _settle(connection, sql, batch.run_id, id, {})
    return missing


def _reserve(
    connection: sqlite3.Connection, sql: Mapping[str, str], run_id: str, entry: Reserve
) -> tuple[Shortfall, ...]:
    balances: dict[tuple[str, str], Balance] = {}
    for account, meter, _, limit in entry.claims:
        row = connection.execute(sql["open_account"], (account, meter, limit)).fetchone()
        balances[account, meter] = Balance._make(row)
    claims, missing = weigh(entry, _held(connection, sql, run_id, entry.id), balances)
    if not missing:
        for account, meter, amount, _ in claims:
            connection.execute(sql["set_aside"], (amount, account, meter))
            connection.execute(sql["hold"], (run_id, entry.id, account, meter, amount))
    return missing


def _settle(
    connection: sqlite3.Connection,
    sql: Mapping[str, str],
    run_id: str,
    reservation: str,
    spent: Mapping[str, int],
) -> None:
    for (account, meter), amount in _held(connection, sql, run_id, reservation).items():
        connection.execute(sql["settle"], (amount, spent.get(meter, 0), account, meter))
    connection.execute(sql["let_go"], (run_id, reservation))


def _held(
    connection: sqlite3.Connection, sql: Mapping[str, str], run_id: str, reservation: str
) -> dict[tuple[str, str], int]:
    rows = connection.execute(sql["held"], (run_id, reservation))
    return {(account, meter): amount for account, meter, amount in rows}

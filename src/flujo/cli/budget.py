"""The accounts of quotas that count over runs: what may be spent, was, and is set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json

from flujo.cli.config import Config
from flujo.cli.output import DONE, emit, emit_json, note
from flujo.cli.reading import find_run, opened
from flujo.cli.runs import terminal_width
from flujo.cli.text import table
from flujo.engine.accounts import plain
from flujo.journal.ledger import Balance, Held
from flujo.journal.store import JournalStore
from flujo.pipeline.quota import in_units, shown


def show_budget(config: Config, *, tenant: str | None, run: str | None, as_json: bool) -> int:
    """Print how the accounts stand: of one tenant, of what one run counts on, or all.

    Raises:
        UnknownRun: No run, or more than one, is meant.
        StoreError: The store cannot be read.
    """
    balances, held = asyncio.run(_read(config, tenant, run))
    if as_json:
        emit_json(
            {"accounts": [_facts(one) for one in balances], "reservations": [_reserved(one) for one in held]}
        )
        return DONE
    if not balances:
        note("no quota has counted over runs here; see docs/guide/quotas.md")
        return DONE
    emit(
        table(
            ("account", "limit", "spent", "reserved", "left"),
            [
                (
                    one.account,
                    shown(one.meter, one.limit),
                    str(in_units(one.meter, one.spent)),
                    str(in_units(one.meter, one.reserved)),
                    str(in_units(one.meter, _left(one))),
                )
                for one in balances
            ],
            width=terminal_width(),
        )
    )
    if held:
        runs = len({one.run_id for one in held})
        note(f"reserved by {runs} run{'' if runs == 1 else 's'}: until each goes on, or is cancelled")
    return DONE


async def _read(config: Config, tenant: str | None, run: str | None) -> tuple[list[Balance], list[Held]]:
    async with opened(config.store) as store:
        stem = "" if tenant is None else f"tenant:{plain(tenant)}"
        balances: Sequence[Balance] = [
            one
            for one in await store.balances(stem)
            if not stem or (one.account + "/").startswith(stem + "/")
        ]
        run_id = ""
        if run is not None:
            run_id = (await find_run(store, run)).run_id
            counted_on = await _accounts_of(store, run_id)
            balances = [one for one in balances if one.account in counted_on]
        accounts = {one.account for one in balances}
        held = [one for one in await store.reservations(run_id) if one.account in accounts]
    return list(balances), held


async def _accounts_of(store: JournalStore, run_id: str) -> set[str]:
    """Return the accounts that a run's attempts reserved on."""
    return {
        account
        for event in await store.events(run_id)
        if event.kind == "step.reserved"
        for account in from_json(event.body)["reserved"]
    }


def _left(one: Balance) -> int:
    return max(one.limit - one.spent - one.reserved, 0)


def _facts(one: Balance) -> dict[str, Any]:
    name, _, window = one.account.rpartition("/")
    kind, colon, began = window.partition(":")
    windowed = bool(name and colon and kind in ("hour", "day", "week", "month"))
    amounts = {"limit": one.limit, "spent": one.spent, "reserved": one.reserved, "left": _left(one)}
    return {
        "account": one.account,
        "window": {"per": kind, "began": began} if windowed else None,
        "meter": one.meter,
        **{key: _amount(one.meter, amount) for key, amount in amounts.items()},
    }


def _reserved(one: Held) -> dict[str, Any]:
    return {
        "run_id": one.run_id,
        "address": one.id.rpartition("@")[0],
        "attempt": int(one.id.rpartition("@")[2]),
        "account": one.account,
        "meter": one.meter,
        "amount": _amount(one.meter, one.amount),
    }


def _amount(meter: str, amount: int) -> str | int:
    units = in_units(meter, amount)
    return units if isinstance(units, int) else str(units)

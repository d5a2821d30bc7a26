"""The SQL of the vaults, in files of its own: migrations in order, and queries by name."""

from functools import cache
from pathlib import Path
from typing import Literal

Backend = Literal["postgres", "sqlite"]
_SQL = Path(__file__).with_name("sql")


@cache
def queries(backend: Backend) -> dict[str, str]:
    """Return the statements of a vault by name: a line ``-- name: x`` begins the query x."""
    script = (_SQL / f"{backend}_queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for section in script.split("\n-- name: ")[1:]:
        name, _, text = section.partition("\n")
        found[name.strip()] = "\n".join(
            line for line in text.splitlines() if not line.startswith("--")
        ).strip()
    return found


@cache
def migrations(backend: Backend) -> tuple[str, ...]:
    """Return the scripts that bring a vault's tables from nothing to the newest version, in order."""
    return tuple(file.read_text(encoding="utf-8") for file in sorted(_SQL.glob(f"{backend}_0*.sql")))

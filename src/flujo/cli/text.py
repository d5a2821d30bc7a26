"""How times, amounts and tables are written for people."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flujo.cli.output import clean


def duration(seconds: float) -> str:
    """Return a time span in its two largest units: ``12 ms``, ``3.4 s``, ``2 min 5 s``, ``3 h 12 min``."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 else "<1 ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for size, unit, part, part_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {part_unit}" if rest else "")
    return f"{whole} s"


def bytes_of(size: int) -> str:
    """Return a size in bytes in its largest unit: ``512 B``, ``3.4 kB``, ``1.2 GB``."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def moment(microseconds: int) -> datetime:
    """Return the time of an event."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC)


def local(at: datetime) -> str:
    """Return a time as the clock on the wall shows it."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def age(at: datetime, now: datetime) -> str:
    """Return how long ago something was, in its largest unit."""
    seconds = max(0, round((now - at).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def brief(value: Any, limit: int = 60) -> str:
    """Return a value in one short line."""
    said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    said = " ".join(clean(said).split())
    return said if len(said) <= limit else said[: limit - 1] + "…"


def counted(number: int, word: str) -> str:
    """Return a number of things: ``1 step``, ``2 steps``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Return rows as aligned columns; the last one is cut to a terminal's width."""
    from rich.cells import cell_len, set_cell_size

    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in (head, *rows)]
    sizes = [max(cell_len(row[at]) for row in cells) for at in range(len(head))]
    lines: list[str] = []
    for row in cells:
        padded = [cell + " " * (size - cell_len(cell)) for cell, size in zip(row, sizes, strict=True)]
        line = "  ".join(padded).rstrip()
        if width is not None and cell_len(line) > width:
            line = set_cell_size(line, width - 1).rstrip() + "…"
        lines.append(line)
    return "\n".join(lines)


def is_utf8(text: str) -> bool:
    """Say whether a text can be written in UTF-8; not where Python could not read what the system gave it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

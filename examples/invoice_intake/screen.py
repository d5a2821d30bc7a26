"""What the demonstration shows: progress on stderr while it works, a table on stdout at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from .desk import Outcome
from .inbox import Item
from .posting import ResultRow

COLORS = {"posted": "green", "approved": "green", "edited": "yellow", "rejected": "red", "waits": "cyan"}
#: Where nobody looks at a terminal, lines are not cut to a width that nobody has.
PLAIN_WIDTH = 118


class Screen:
    """The terminal, or whatever stands in its place."""

    def __init__(self) -> None:
        self.out = _console(stderr=False)
        self.progress = _console(stderr=True)
        self._status: Status | None = None

    @property
    def is_terminal(self) -> bool:
        """Whether somebody can be asked."""
        return sys.stdin.isatty() and self.out.is_terminal

    def say(self, text: str) -> None:
        """Say something beside the work."""
        self.stop()
        self.progress.print(text, highlight=False)

    def step(self, item: Item, address: str) -> None:
        """Show which step begins; only a terminal shows what passes in a moment."""
        if not self.progress.is_terminal:
            return
        text = f"{escape(item.name)}  [dim]{escape(address)}[/]"
        if self._status is None:
            self._status = self.progress.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def stop(self) -> None:
        """Leave the terminal in order."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def done(self, outcome: Outcome) -> None:
        """Tell what became of a file."""
        word, why = told(outcome)
        color = COLORS.get(word, "red")
        reused = f" [dim]({reuse(outcome)})[/]" if outcome.reused else ""
        self.say(f"[{color}]{word:>8}[/]  {escape(outcome.item.name)}{reused}  [dim]{escape(why)}[/]")

    def table(self, outcomes: Sequence[Outcome]) -> None:
        """Show all files: what was read, what was proved, who decided, what it cost."""
        table = Table(title="Invoice intake", title_justify="left", header_style="bold", pad_edge=False)
        table.add_column("File", overflow="fold")
        table.add_column("What was read", overflow="fold")
        table.add_column("Gross", justify="right", no_wrap=True)
        table.add_column("Proved", justify="center")
        table.add_column("Decision, by whom")
        table.add_column("Cost", justify="right")
        resumed = any(outcome.reused for outcome in outcomes)
        if resumed:
            table.add_column("Steps")
        for outcome in outcomes:
            cells = _cells(outcome)
            table.add_row(*cells, *([reuse(outcome)] if resumed else []))
        self.out.print(table)


def told(outcome: Outcome) -> tuple[str, str]:
    """Return what became of a file: one word, and why."""
    row, result = outcome.row, outcome.result
    if row is None:
        if result.status == "paused":
            return "waits", result.pending[0].prompt
        return result.status, str(result.error or result.reason)
    if outcome.case is None:
        return row.decision, ""
    if row.decision == "posted":
        return row.decision, outcome.case.proof.reason
    return row.decision, f"by {row.decided_by}: {outcome.case.doubt}"


def reuse(outcome: Outcome) -> str:
    """Return how many steps were answered from the journal, and how many ran now."""
    return f"{outcome.reused} reused, {outcome.ran} ran"


def cost(outcome: Outcome) -> str:
    """Return what a run cost, as far as it is known."""
    usage = outcome.result.usage
    if usage.requests and not usage.cost:
        return f"not told ({usage.requests} requests)"
    return "0" if usage.cost == Decimal(0) else f"{usage.cost} USD"


def _cells(outcome: Outcome) -> list[Text | str]:
    row = outcome.row
    word, _ = told(outcome)
    if row is None:
        waiting = Text(word, style=COLORS.get(word, "red"))
        return [outcome.item.name, "", "", "", waiting, cost(outcome)]
    proved = Text("yes", style="green") if row.proved else Text("no", style="red")
    decision = Text.assemble((row.decision, COLORS[row.decision]), f"\n{row.decided_by}")
    return [row.file, summary(row), amount(row), proved, decision, cost(outcome)]


def summary(row: ResultRow) -> Text:
    """Return supplier, number and date on two lines."""
    if not (row.supplier or row.number or row.date):
        return Text("nothing", style="dim")
    return Text.assemble(
        row.supplier or "no supplier", ("\n" + ", ".join(filter(None, (row.number, row.date))), "dim")
    )


def amount(row: ResultRow) -> str:
    """Return the gross amount with its currency."""
    if row.gross is None:
        return "—"
    return f"{Decimal(row.gross):,} {row.currency or ''}".strip()


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)

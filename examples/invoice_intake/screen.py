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
from .posting import Entry, ResultRow

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
        self.progress.print(text, highlight=False, soft_wrap=True)

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
        row = outcome.row
        by = f" by {escape(row.decided_by)}" if row and row.decision != "posted" else ""
        reused = f" [dim]({reuse(outcome)})[/]" if outcome.reused else ""
        self.say(f"[{color}]{word:>8}[/]{by}  {escape(outcome.item.name)}{reused}  [dim]{escape(why)}[/]")

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
            table.add_column("Reused", justify="right", no_wrap=True)
        for outcome in outcomes:
            cells = _cells(outcome)
            steps = f"{outcome.reused} of {outcome.reused + outcome.ran} steps"
            table.add_row(*cells, *([steps] if resumed else []))
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
    return row.decision, outcome.case.proof.reason if row.decision == "posted" else outcome.case.doubt


def reuse(outcome: Outcome) -> str:
    """Return how many steps were answered from the journal, and how many ran now."""
    return f"{outcome.reused} reused, {outcome.ran} ran"


def cost(outcome: Outcome) -> str:
    """Return what a run cost, as far as it is known."""
    usage = outcome.result.usage
    if usage.requests and not usage.cost:
        return f"not told ({counted(usage.requests, 'request')})"
    return "0" if usage.cost == Decimal(0) else f"{usage.cost} USD"


def _cells(outcome: Outcome) -> list[Text | str]:
    row, case = outcome.row, outcome.case
    word, _ = told(outcome)
    if row is None:
        read = summary(None if case is None else case.entry)
        return [outcome.item.name, read, "", "", Text(word, style=COLORS.get(word, "red")), cost(outcome)]
    proved = Text("yes", style="green") if row.proved else Text("no", style="red")
    decision = Text.assemble((row.decision, COLORS[row.decision]), f"\n{row.decided_by}")
    return [row.file, summary(row), amount(row), proved, decision, cost(outcome)]


def summary(read: ResultRow | Entry | None) -> Text:
    """Return supplier, number and date on two lines."""
    if read is None or not (read.supplier or read.number):
        return Text("nothing", style="dim")
    rest = ", ".join(str(one) for one in (read.number, read.date) if one)
    return Text.assemble(read.supplier or "no supplier", (f"\n{rest}", "dim"))


def amount(row: ResultRow) -> str:
    """Return the gross amount with its currency."""
    if row.gross is None:
        return "—"
    return f"{Decimal(row.gross):,} {row.currency or ''}".strip()


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)

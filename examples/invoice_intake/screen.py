"""What the demonstration shows: progress on stderr while it works, a table on stdout at the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal

from rich import box
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
#: From here on, file and reading get a column each.
WIDE = 110


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
        text = f"{escape(printable(item.name))}  [dim]{escape(address)}[/]"
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
        """Tell what became of a file, on one line."""
        self.stop()
        word, why = told(outcome)
        row = outcome.row
        by = f" by {row.decided_by}" if row and row.decision != "posted" else ""
        line = Text.assemble(
            (f"{word:>8}", COLORS.get(word, "red")),
            printable(f"{by}  {outcome.item.name}"),
            (f" ({reuse(outcome)})" if outcome.reused else "", "dim"),
            (f"  {printable(why)}", "dim"),
        )
        if self.progress.is_terminal:
            line.truncate(self.progress.width, overflow="ellipsis")
        self.progress.print(line, soft_wrap=True)

    def table(self, outcomes: Sequence[Outcome]) -> None:
        """Show all files: what was read, what was proved, who decided, what it cost."""
        table = Table(
            title="Invoice intake\n",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            padding=(0, 1, 0, 0),
        )
        wide = self.out.width >= WIDE
        resumed = any(outcome.reused for outcome in outcomes)
        for head in ("File", "What was read") if wide else ("File, and what was read",):
            table.add_column(head, overflow="fold", min_width=28)
        table.add_column("Gross", justify="right", no_wrap=True)
        table.add_column("Proved")
        table.add_column("Decision, by" if wide else "Decision", max_width=None if wide else 9)
        table.add_column("Cost", justify="right")
        if resumed:
            table.add_column("Reused steps" if wide else "Reused", justify="right", no_wrap=True)
        for outcome in outcomes:
            file, read, *cells = _cells(outcome)
            first = [file, read] if wide else [Text("\n").join([file, read])]
            steps = Text(f"{outcome.reused} of {outcome.reused + outcome.ran}")
            table.add_row(*first, *cells, *([steps] if resumed else []))
        self.out.print(table)
        self.out.print()


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


def _cells(outcome: Outcome) -> list[Text]:
    row, case = outcome.row, outcome.case
    word, _ = told(outcome)
    file, price = Text(printable(outcome.item.name)), Text(cost(outcome))
    decision = Text(word, style=COLORS.get(word, "red"))
    if row is None:
        return [file, summary(None if case is None else case.entry), Text(), Text(), decision, price]
    proved = Text("yes", style="green") if row.proved else Text("no", style="red")
    decided = Text.assemble(decision, "\n", printable(row.decided_by))
    return [file, summary(row), Text(amount(row)), proved, decided, price]


def summary(read: ResultRow | Entry | None) -> Text:
    """Return supplier, number and date on two lines."""
    if read is None or not (read.supplier or read.number):
        return Text("nothing", style="dim")
    rest = ", ".join(str(one) for one in (read.number, read.date) if one)
    return Text.assemble(printable(read.supplier or "no supplier"), (f"\n{printable(rest)}", "dim"))


def amount(row: ResultRow) -> str:
    """Return the gross amount with its currency."""
    if row.gross is None:
        return "—"
    return f"{Decimal(row.gross):,} {row.currency or ''}".strip()


def printable(text: str) -> str:
    """Return a text of a document without what could move the cursor or change the terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def counted(number: int, noun: str) -> str:
    """Return a number of things."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=PLAIN_WIDTH)

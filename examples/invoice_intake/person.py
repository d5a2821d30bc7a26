"""Asking a person at the terminal: what was read, what failed to prove, and what is to be done."""

from __future__ import annotations

import getpass

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.prompt import Prompt
from rich.table import Table
from rich.text import Text

from flujo import Approval, Decision

from .evidence import evidence_of, values_of
from .inbox import Item
from .posting import Entry
from .review import NEEDED, Case, Review, missing_from
from .reviewers import decision
from .screen import printable

MARKS = {"passed": ("✓", "green"), "failed": ("✗", "red"), "unknown": ("?", "yellow")}


class Person:
    """Whoever sits at the terminal.

    Args:
        console: Where to ask.
        name: Who it is, for the journal; the name of the account when left out.
    """

    def __init__(self, console: Console, name: str = "") -> None:
        self.console = console
        self.name = name or account()

    def decide(self, item: Item, case: Case, asked: Approval) -> Decision | None:
        """Show a case and ask until there is a decision; None leaves it for later."""
        self._show(item, case)
        entry = case.entry
        while True:
            possible = self._possible(case, entry)
            match self._choose(possible):
                case "approve":
                    action = "approve" if entry == case.entry else "edit"
                    review = Review(action=action, entry=entry, by=self.name)
                    return decision(review, asked, channel="terminal")
                case "edit":
                    entry = self._edit(entry)
                    self._show_changes(entry, case.entry)
                case "reject":
                    reason = Prompt.ask("  Why", console=self.console, default=case.doubt)
                    review = Review(action="reject", entry=case.entry, by=self.name, reason=reason)
                    return decision(review, asked, channel="terminal")
                case _:
                    return None

    def _show(self, item: Item, case: Case) -> None:
        self.console.print()
        doubt = Text(printable(case.doubt), style="bold")
        self.console.print(Panel(doubt, title=plain(item.name), title_align="left", style="yellow"))
        self.console.print(f"[dim]{plain(item.path)}[/]\n", soft_wrap=True, highlight=False)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for head in ("", "read as", "printed", "how"):
            table.add_column(head, overflow="fold")
        for one in evidence_of(case.facts):
            read = (
                Text("not read", style="red")
                if one.value is None
                else Text(printable(one.value), style="bold")
            )
            table.add_row(one.name, read, plain(one.printed), plain(one.why))
        self.console.print(table)
        self.console.print()
        for check in case.proof.checks:
            mark, color = MARKS[check.outcome]
            self.console.print(f"  [{color}]{mark} {plain(check.name):<16}[/] {plain(check.sentence)}")
        self.console.print()

    def _possible(self, case: Case, entry: Entry) -> list[str]:
        """Return what may be done with an entry, saying why it cannot be approved if so."""
        missing = [name for name in NEEDED if missing_from(entry, name)]
        if missing:
            self.console.print(f"  [dim]To post it, edit: {', '.join(missing)} missing.[/]")
        elif case.duplicate_of is not None and entry == case.entry:
            self.console.print(
                "  [dim]As it stands it would be paid twice: edit what was misread, or reject.[/]"
            )
        else:
            return ["approve", "edit", "reject", "later"]
        return ["edit", "reject", "later"]

    def _choose(self, possible: list[str]) -> str:
        keys = {word[0]: word for word in possible}
        asked = ", ".join(f"[bold]{word[0]}[/]{word[1:]}" for word in possible)
        while True:
            said = self.console.input(f"  {asked}? ").strip().lower()
            found = keys.get(said[:1]) if said and keys.get(said[:1], "").startswith(said) else None
            if found is not None:
                return found
            self.console.print(f"  [dim]Type one of {', '.join(keys)}.[/]")

    def _edit(self, entry: Entry) -> Entry:
        """Ask for each field in turn; an empty answer keeps it, a dash clears it."""
        self.console.print(
            "  [dim]Enter keeps a field, - clears it. Dates as 2024-12-31, amounts as 1234.50.[/]"
        )
        for name, before in values_of(entry).items():
            while True:
                said = Prompt.ask(f"  {name}", console=self.console, default=before or "").strip()
                given = None if said in ("-", "") else said
                try:
                    entry = Entry.model_validate({**entry.model_dump(), name: given})
                    break
                except ValidationError as error:
                    self.console.print(f"  [red]{plain(error.errors()[0]['msg'])}[/]")
        return entry

    def _show_changes(self, entry: Entry, before: Entry) -> None:
        """Show what an edit changed, and say so if it does not add up."""
        read, now = values_of(before), values_of(entry)
        changed = [
            f"{name} {read[name] or 'nothing'} → {now[name] or 'nothing'}"
            for name in now
            if now[name] != read[name]
        ]
        self.console.print(f"  Changed: {plain(', '.join(changed) or 'nothing')}")
        if entry.net is not None and entry.tax is not None and entry.gross is not None:
            total = entry.net + entry.tax
            if total != entry.gross:
                self.console.print(f"  [yellow]{entry.net} + {entry.tax} is {total}, not {entry.gross}.[/]")


def plain(text: str) -> str:
    """Return a text of a document as it may stand in markup."""
    return escape(printable(text))


def account() -> str:
    """Return the name of the account that runs this."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "a person"

"""A person at the terminal: what may be decided, what is typed, and what comes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from examples.invoice_intake.inbox import Item
from examples.invoice_intake.person import Person
from examples.invoice_intake.pipeline import IntakeContext, intake
from examples.invoice_intake.review import Case, Review
from flujo import Approval, Decision, Flujo

SAMPLES = Path(__file__).parents[2] / "examples" / "invoice_intake" / "samples"


def asked(name: str, folder: Path) -> tuple[Item, Case, Approval]:
    """Run a sample as far as it goes without a person."""
    item = Item(path=str(SAMPLES / name), run_id="run")
    paused = Flujo(intake()).run(item.path, context=IntakeContext(folder=str(folder)))
    return item, paused.steps["duplicate"].output, paused.pending[0]


class Terminal:
    """A terminal at which the given lines are typed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
        self.lines: Iterator[str] = iter(lines)
        self.shown = io.StringIO()
        self.console = Console(file=self.shown, width=100)
        monkeypatch.setattr("builtins.input", self.type)

    def type(self, prompt: str = "") -> str:
        return next(self.lines)

    def decide(self, item: Item, case: Case, request: Approval) -> Decision | None:
        return Person(self.console, "Ada").decide(item, case, request)


def reviewed(decision: Decision | None) -> Review:
    assert decision is not None
    assert (decision.actor, decision.channel) == ("Ada", "terminal")
    assert isinstance(decision.value, Review)
    return decision.value


def test_what_failed_is_shown_with_its_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, "later")

    assert terminal.decide(*asked("07-wrong-sum.pdf", tmp_path)) is None

    shown = terminal.shown.getvalue()
    assert "✗ sum              600.00 + 126.00 is not 762.00." in shown
    assert "p. 1: TOTAL FACTURA 762,00 €" in shown
    assert "07-wrong-sum.pdf" in shown


def test_approving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item, case, request = asked("07-wrong-sum.pdf", tmp_path)

    review = reviewed(Terminal(monkeypatch, "", "huh", "a").decide(item, case, request))

    assert (review.action, review.entry, review.by) == ("approve", case.entry, "Ada")


def test_rejecting_with_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decision = Terminal(monkeypatch, "r", "not ours").decide(*asked("07-wrong-sum.pdf", tmp_path))

    assert (reviewed(decision).action, reviewed(decision).reason) == ("reject", "not ours")
    assert decision is not None
    assert decision.reason == "not ours"


def test_editing_field_by_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, "e", "", "", "28.6.", "2024-06-29", "", "", "-", "much", "726.00", "a")

    review = reviewed(terminal.decide(*asked("07-wrong-sum.pdf", tmp_path)))

    assert review.action == "edit"
    assert (str(review.entry.date), review.entry.tax, str(review.entry.gross)) == (
        "2024-06-29",
        None,
        "726.00",
    )
    assert review.entry.supplier == "Transportes Ficticios S.L."


def test_an_edit_that_does_not_add_up_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(monkeypatch, "e", *[""] * 6, "800", "l")

    terminal.decide(*asked("07-wrong-sum.pdf", tmp_path))

    assert "600.00 + 126.00 is 726.00, not 800." in terminal.shown.getvalue()


def test_a_scan_cannot_be_approved_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["a", "e", "Someone Ltd", "17", "2024-01-31", "EUR", "", "", "12.50", "a"]

    terminal = Terminal(monkeypatch, *typed)
    review = reviewed(terminal.decide(*asked("09-scan-without-text.pdf", tmp_path)))

    assert "To post it, edit: supplier, number, date, currency, gross missing." in terminal.shown.getvalue()
    assert (review.action, review.entry.supplier, str(review.entry.gross)) == ("edit", "Someone Ltd", "12.50")


def test_a_duplicate_cannot_be_approved_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item, case, request = asked("07-wrong-sum.pdf", tmp_path)
    terminal = Terminal(monkeypatch, "a", "r", "paid")

    twice = case.model_copy(update={"duplicate_of": "another"})

    assert reviewed(terminal.decide(item, twice, request)).action == "reject"
    assert "it would be paid twice" in terminal.shown.getvalue()

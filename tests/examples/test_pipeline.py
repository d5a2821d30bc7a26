"""The invoice pipeline, through Flujo's public door: what is posted, what waits, and what happens twice."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import pytest

from examples.invoice_intake import pipeline as example
from examples.invoice_intake.drawing import draw_sheet
from examples.invoice_intake.inbox import Item
from examples.invoice_intake.pipeline import IntakeContext, intake
from examples.invoice_intake.posting import Entry, ResultRow, posted_rows
from examples.invoice_intake.review import Case, Review
from examples.invoice_intake.reviewers import ScriptedReviewer
from flujo import Decision, Flujo, HumanInput, SQLiteStore
from flujo.engine.result import StepCompleted
from flujo.errors import AnswerRejected
from tests.examples.papers import LAYOUTS

SAMPLES = Path(__file__).parents[2] / "examples" / "invoice_intake" / "samples"
PROVED, WRONG, COPY = "01-english-pounds.pdf", "07-wrong-sum.pdf", "08-duplicate.pdf"
SCAN, LETTER = "09-scan-without-text.pdf", "10-no-invoice.pdf"

Runner = Flujo[str, ResultRow]


@pytest.fixture
async def runner(tmp_path: Path) -> AsyncIterator[Runner]:
    async with Flujo(intake(), state=SQLiteStore(tmp_path / "flujo_ops.db")) as made:
        yield made


@pytest.fixture
def context(tmp_path: Path) -> IntakeContext:
    return IntakeContext(folder=str(tmp_path))


def sample(name: str) -> str:
    return str(SAMPLES / name)


async def test_a_proved_invoice_is_posted_without_anybody(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    result = await runner.run_async(sample(PROVED), context=context)

    row = result.unwrap()
    assert (row.supplier, row.number, row.gross) == ("Thistle & Wren Stationers Ltd", "TW-10482", "411.60")
    assert (row.decision, row.decided_by, row.proved) == ("posted", "proof", True)
    assert posted_rows(tmp_path) == [row]
    assert result.usage.cost == 0


async def test_an_amount_above_the_limit_waits(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    context.limit = Decimal("411.59")

    result = await runner.run_async(sample(PROVED), context=context)

    assert result.status == "paused"
    assert "411.60 is above the limit" in result.pending[0].prompt
    assert posted_rows(tmp_path) == []


async def test_an_amount_at_the_limit_is_posted(runner: Runner, context: IntakeContext) -> None:
    context.limit = Decimal("411.60")

    assert (await runner.run_async(sample(PROVED), context=context)).unwrap().decision == "posted"


@pytest.mark.parametrize(
    ("name", "because"),
    [
        (WRONG, "600.00 + 126.00 is not 762.00"),
        (SCAN, "no text layer"),
        (LETTER, "This is no invoice"),
    ],
)
async def test_what_is_not_proved_waits_for_a_person(
    runner: Runner, context: IntakeContext, tmp_path: Path, name: str, because: str
) -> None:
    result = await runner.run_async(sample(name), context=context)

    assert result.status == "paused"
    assert because in result.pending[0].prompt
    assert result.pending[0].actions == ("approve", "edit", "deny")
    assert posted_rows(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        "cancelled",
        "delivery_note_for_invoice",
        "lines_short_of_net",
        "negative_gross",
        "paid_by_card",
        "two_numbers",
        "zero_gross",
    ],
)
async def test_what_is_not_to_be_paid_waits_and_the_script_rejects_it(
    runner: Runner, context: IntakeContext, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.pdf"
    path.write_bytes(draw_sheet(next(sheet for sheet in LAYOUTS if sheet.name == name)))

    paused = await runner.run_async(str(path), context=context)

    assert paused.status == "paused"
    case = paused.steps["duplicate"].output
    assert isinstance(case, Case)
    answer = ScriptedReviewer().decide(Item(path=str(path), run_id=paused.run_id), case, paused.pending[0])
    assert (await runner.resume_async(paused, answer)).unwrap().decision == "rejected"
    assert posted_rows(tmp_path) == []


async def test_a_person_approves_what_is_shown(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    paused = await runner.run_async(sample(WRONG), context=context)

    row = (await runner.resume_async(paused, Decision("approve", actor="Ada"))).unwrap()

    assert (row.decision, row.decided_by, row.proved, row.gross) == ("approved", "a person", False, "762.00")
    assert posted_rows(tmp_path) == [row]


async def test_a_person_corrects_an_amount(runner: Runner, context: IntakeContext, tmp_path: Path) -> None:
    paused = await runner.run_async(sample(WRONG), context=context)
    case = paused.steps["duplicate"].output
    assert isinstance(case, Case)
    entry = case.entry.model_copy(update={"gross": Decimal("726.00")})

    row = (await runner.resume_async(paused, Review(action="edit", entry=entry, by="Ada"))).unwrap()

    assert (row.decision, row.decided_by, row.proved, row.gross) == ("edited", "Ada", False, "726.00")
    assert posted_rows(tmp_path) == [row]


async def test_an_approval_that_changes_something_is_an_edit(runner: Runner, context: IntakeContext) -> None:
    paused = await runner.run_async(sample(WRONG), context=context)
    entry = Entry.model_validate({**paused.pending[0].subject["entry"], "gross": "726.00"})

    row = (await runner.resume_async(paused, Review(action="approve", entry=entry, by="Ada"))).unwrap()

    assert row.decision == "edited"


async def test_a_denial_rejects(runner: Runner, context: IntakeContext, tmp_path: Path) -> None:
    paused = await runner.run_async(sample(WRONG), context=context)

    row = (await runner.resume_async(paused, Decision("deny", reason="ask the sender"))).unwrap()

    assert (row.decision, row.gross) == ("rejected", "762.00")
    assert posted_rows(tmp_path) == []


async def test_nothing_is_posted_without_an_amount_whoever_approves(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    paused = await runner.run_async(sample(SCAN), context=context)

    with pytest.raises(AnswerRejected, match="without supplier, number, date, currency, gross"):
        await runner.resume_async(paused, Decision("approve"))

    assert len(await runner.pending(paused.run_id)) == 1
    assert posted_rows(tmp_path) == []


async def test_a_letter_is_rejected_without_amounts(runner: Runner, context: IntakeContext) -> None:
    paused = await runner.run_async(sample(LETTER), context=context)

    row = (await runner.resume_async(paused, Decision("deny"))).unwrap()

    assert (row.decision, row.gross, row.supplier) == ("rejected", None, None)


async def test_a_duplicate_waits_and_is_not_posted_though_approved(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    first = await runner.run_async(sample(PROVED), run_id="first", context=context)
    paused = await runner.run_async(sample(COPY), context=context)
    assert "posted before, by run first" in paused.pending[0].prompt

    row = (await runner.resume_async(paused, Decision("approve", actor="Ada"))).unwrap()

    assert (row.decision, row.decided_by) == ("rejected", "duplicate guard")
    assert posted_rows(tmp_path) == [first.unwrap()]


async def test_a_copy_of_the_same_file_is_a_duplicate(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    copy = tmp_path / "renamed.pdf"
    shutil.copy(sample(PROVED), copy)
    await runner.run_async(sample(PROVED), context=context)

    assert (await runner.run_async(str(copy), context=context)).status == "paused"


async def test_a_resumed_run_sees_the_ledger_as_it_saw_it(
    runner: Runner, context: IntakeContext, tmp_path: Path
) -> None:
    """It found no duplicate before it was cut off; what was posted since is refused at the posting."""
    async with aclosing(runner.stream_async(sample(COPY), run_id="cut off", context=context)) as events:
        async for event in events:
            if isinstance(event, StepCompleted) and event.result.address == "duplicate":
                break
    posted = (await runner.run_async(sample(PROVED), context=context)).unwrap()

    resumed = await runner.resume_async("cut off")

    case = resumed.steps["duplicate"]
    assert case.reused
    assert case.output.duplicate_of is None
    assert resumed.unwrap().decided_by == "duplicate guard"
    assert posted_rows(tmp_path) == [posted]


async def test_a_posting_is_taken_back_when_its_run_is_cancelled(
    context: IntakeContext, tmp_path: Path
) -> None:
    signed = intake() >> HumanInput("Sign?", schema=ResultRow, name="sign")
    async with Flujo(signed, state=SQLiteStore(tmp_path / "flujo_ops.db")) as runner:
        paused = await runner.run_async(sample(PROVED), context=context)
        assert len(posted_rows(tmp_path)) == 1

        cancelled = await runner.cancel(paused.run_id, "sent by mistake")

    assert cancelled.status == "cancelled"
    assert posted_rows(tmp_path) == []
    assert "TW-10482" not in (tmp_path / "ledger.csv").read_text(encoding="utf-8")


async def test_a_reader_that_fails_leaves_the_file_to_a_person(
    runner: Runner, context: IntakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choke(path: str) -> object:
        raise RecursionError(f"too deep: {path}")

    monkeypatch.setattr(example, "read_pdf", choke)

    result = await runner.run_async(sample(PROVED), context=context)

    assert result.status == "paused"
    assert "could not be read" in result.pending[0].prompt


async def test_a_missing_file_is_an_answer(runner: Runner, context: IntakeContext, tmp_path: Path) -> None:
    result = await runner.run_async(str(tmp_path / "gone.pdf"), context=context)

    assert "There is no file gone.pdf" in result.pending[0].prompt


async def test_a_row_restored_from_the_journal_is_the_same(runner: Runner, context: IntakeContext) -> None:
    first = await runner.run_async(sample(PROVED), run_id="one", context=context)

    again = await runner.run_async(sample(PROVED), run_id="one", context=context)

    assert again.unwrap() == first.unwrap()
    assert again.steps["prove"].output == first.steps["prove"].output

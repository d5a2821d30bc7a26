"""Invoice intake: read, extract, prove, look for duplicates, decide, post.

    read ─▶ supplier ┐
            dates    ├─▶ gather ─▶ prove ─▶ duplicate ─▶ decide ─┬─ clear: accept ───────┬─▶ post
            amounts  │                                           └─ doubt: review ▶ judge┘
            lines    ┘

One run takes one file. An amount that is not proved from the page, an amount above the limit and an invoice
that was posted before wait for a person; everything else is posted at once. Whatever a step gives is in the
journal before the next step begins, so a run that was killed or paused goes on where it stood.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from flujo import (
    Branch,
    From,
    HumanInput,
    Node,
    Parallel,
    Pipeline,
    PipelineContext,
    Retry,
    Step,
    StepInfo,
    step,
)

from .amounts import find_amounts
from .dates import find_dates
from .document import Reading
from .facts import AmountFacts, DateFacts, Facts, LineFacts, SupplierFacts
from .gather import gather
from .ledger import post_once, withdraw
from .line_items import find_lines
from .posting import Entry, ResultRow, posted_before, result_row
from .proof import prove
from .reading import read_pdf
from .review import Case, Review
from .supplier import find_supplier
from .unknown import no_amounts, no_dates, no_lines, no_supplier, no_text

if TYPE_CHECKING:
    from .by_model import ModelSettings

Found = tuple[SupplierFacts, DateFacts, AmountFacts, LineFacts]


class IntakeContext(PipelineContext):
    """What the steps of one run share.

    Attributes:
        folder: Where postings and ledger are.
        limit: The amount, in the invoice's own currency, up to which the proof alone is enough.
    """

    folder: str = "flujo-demo"
    limit: Decimal = Decimal(10_000)


# Reading


@step(timeout=60, fallback=no_text)
def read(path: str) -> Reading:
    """Read the words of a PDF and their places; a file that cannot be read is an answer, too."""
    return read_pdf(path)


find = Parallel(
    Step(find_supplier, name="supplier", fallback=no_supplier),
    Step(find_dates, name="dates", fallback=no_dates),
    Step(find_amounts, name="amounts", fallback=no_amounts),
    Step(find_lines, name="lines", fallback=no_lines),
    name="find",
)


@step(name="gather")
def gather_found(found: Found, reading: Annotated[Reading, From("read")]) -> Facts:
    """Join what the four readers found."""
    return gather(reading, *found)


def extract(model: ModelSettings | None) -> Node[Reading, Facts]:
    """Return how facts are read from a document: by rules, or by a model if one is given."""
    if model is None:
        return find >> gather_found
    from .ask_model import ask_model  # needs a client that nobody else does

    return ask_model(model)


# Proving


@step(name="prove")
def prove_facts(facts: Facts, reading: Annotated[Reading, From("read")]) -> Case:
    """Check the facts against the printed page."""
    return Case(facts=facts, proof=prove(reading, facts))


@step
async def duplicate(case: Case, context: IntakeContext, info: StepInfo) -> Case:
    """Look for the same supplier, number and amount in what earlier runs posted.

    The answer is recorded as an effect: a resumed run sees what this one saw, whatever was posted since.
    """
    earlier = await info.do("ledger", posted_before, case.entry, Path(context.folder))
    return case.model_copy(update={"duplicate_of": earlier})


# Deciding


def route(case: Case, context: IntakeContext) -> Literal["clear", "doubt"]:
    """Say whether the proof is enough, or a person decides."""
    gross = case.entry.gross
    proved = case.proof.proved and case.duplicate_of is None
    return "clear" if proved and gross is not None and 0 < gross <= context.limit else "doubt"


@step
def accept(case: Case, info: StepInfo) -> ResultRow:
    """Let a proved invoice pass."""
    file, entry = case.facts.file, case.entry
    return result_row(file, entry, proved=True, decision="posted", decided_by="proof", run_id=info.run_id)


def question(case: Case) -> str:
    """Say what a person has to decide, and why."""
    return f"{case.doubt} Approve, edit or reject {case.facts.file}?"


def proposal(case: Case) -> dict[str, object]:
    """Return the review that a plain approval stands for; it fits only if nothing is missing."""
    return {"action": "approve", "entry": case.entry.model_dump(mode="json")}


@step
def reject(case: Case) -> Review:
    """Turn a plain denial into a review."""
    return Review(action="reject")


review = HumanInput(question, schema=Review, subject=proposal, on_deny=reject, name="review")


@step
def judge(review: Review, case: Annotated[Case, From("duplicate")], info: StepInfo) -> ResultRow:
    """Write down what the reviewer decided, and who it was."""
    entry = review.entry
    match review.action:
        case "reject":
            decision = "rejected"
            entry = Entry() if case.facts.kind == "not_an_invoice" else case.entry
        case "approve" | "edit":
            decision = "approved" if entry == case.entry else "edited"
    proved = case.proof.proved and entry == case.entry
    file, by = case.facts.file, review.by
    return result_row(file, entry, proved=proved, decision=decision, decided_by=by, run_id=info.run_id)


decide = Branch(on=route, cases={"clear": accept, "doubt": review >> judge}, name="decide")


# Posting


def take_back(row: ResultRow, context: IntakeContext) -> None:
    """Undo a posting: what happens when its run is cancelled afterwards."""
    withdraw(row, Path(context.folder))


@step(retry=Retry(attempts=3, on=(OSError,)), undo=take_back)
async def post(row: ResultRow, context: IntakeContext, info: StepInfo) -> ResultRow:
    """Write the posting and the ledger, once, and give the row of results.

    Nothing is posted twice: what another run posted before is rejected here, even if it was approved.
    """
    if row.decision == "rejected":
        return row
    if await info.do("posting", post_once, row, Path(context.folder)):
        return row
    return row.model_copy(update={"decision": "rejected", "decided_by": "duplicate guard"})


def intake(model: ModelSettings | None = None) -> Pipeline[str, ResultRow]:
    """Return the pipeline from a file's path to its row of results.

    Args:
        model: The model that extracts the facts; None for the rules. The proof is the same.
    """
    whole = read >> extract(model) >> prove_facts >> duplicate >> decide >> post
    return whole.named("invoice_intake")


pipeline = intake()

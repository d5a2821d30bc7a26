"""What a reviewer is shown, and what a reviewer may decide."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import model_validator

from .facts import Facts, Frozen
from .posting import Entry, entry_of
from .proof import Proof

#: Without these nothing can be booked, nor found again when it comes a second time.
NEEDED = ("supplier", "number", "date", "currency", "gross")


class Case(Frozen):
    """An invoice as far as the pipeline knows it.

    Attributes:
        facts: what was read, with the evidence.
        proof: what was checked.
        duplicate_of: the run that posted the same invoice before, if any.
    """

    facts: Facts
    proof: Proof
    duplicate_of: str | None = None

    @property
    def entry(self) -> Entry:
        """What would be posted."""
        return entry_of(self.facts)

    @property
    def doubt(self) -> str:
        """Why a person is asked, as a sentence."""
        if self.duplicate_of is not None:
            return f"It was posted before, by run {self.duplicate_of}."
        if not self.proof.proved:
            return self.proof.reason
        gross = self.entry.gross or Decimal(0)
        return f"It is proved, but {gross:,} is {'above the limit' if gross > 0 else 'no amount to pay'}."


class Review(Frozen):
    """What a reviewer decides: post the entry as shown, post it as edited, or reject the invoice."""

    action: Literal["approve", "edit", "reject"] = "approve"
    entry: Entry = Entry()
    by: str = "a person"
    reason: str = ""

    @model_validator(mode="after")
    def _can_be_posted(self) -> Review:
        missing = [name for name in NEEDED if missing_from(self.entry, name)]
        if self.action != "reject" and missing:
            raise ValueError(f"nothing can be posted without {', '.join(missing)}: fill in, or reject")
        return self


def missing_from(entry: Entry, name: str) -> bool:
    """Say whether an entry lacks one of its fields."""
    values: dict[str, str | date | Decimal | None] = dict(entry)
    return values[name] in (None, "")

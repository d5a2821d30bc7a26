"""Who decides what the proof leaves open: a scripted reviewer, where no person is there."""

from __future__ import annotations

from typing import Protocol

from flujo import Approval, Decision

from .inbox import Item
from .posting import scripted_review
from .review import Case, Review

SCRIPTED = "scripted reviewer"


class Reviewer(Protocol):
    """Somebody who decides cases."""

    def decide(self, item: Item, case: Case, asked: Approval) -> Decision | None:
        """Decide a case; None leaves it for later.

        Args:
            item: The file.
            case: What is known of it.
            asked: The request of the run that waits.
        """
        ...


class ScriptedReviewer:
    """Approves what is proved and new, and rejects everything else: it never vouches for an amount itself."""

    def decide(self, item: Item, case: Case, asked: Approval) -> Decision:
        """Decide a case by its proof alone."""
        verdict = scripted_review(case.proof, case.duplicate_of)
        action = "approve" if verdict.approve else "reject"
        review = Review(action=action, entry=case.entry, by=SCRIPTED, reason=verdict.reason)
        return decision(review, asked, channel="demo")


def decision(review: Review, asked: Approval, *, channel: str) -> Decision:
    """Return a review as the answer to a request, in the name of who made it."""
    return Decision(
        "edit", review, reason=review.reason, actor=review.by, channel=channel, digest=asked.digest
    )

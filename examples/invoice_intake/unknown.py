"""What is left when a reader fails: nothing, so that a person looks.

These are the fallbacks of the pipeline's steps. The failure itself stays in the journal.
"""

from __future__ import annotations

from pathlib import Path

from flujo import step

from .document import Reading, Unreadable
from .facts import AmountFacts, DateFacts, Facts, LineFacts, SupplierFacts


@step
def no_text(path: str) -> Reading:
    """Give up on a file that the parser chokes on."""
    name = Path(path).name
    return Unreadable(file=name, problem="corrupt", reason=f"{name} could not be read.")


@step
def no_supplier(reading: Reading) -> SupplierFacts:
    """Name no supplier."""
    return SupplierFacts()


@step
def no_dates(reading: Reading) -> DateFacts:
    """Name no date."""
    return DateFacts()


@step
def no_amounts(reading: Reading) -> AmountFacts:
    """Name no amount."""
    return AmountFacts()


@step
def no_lines(reading: Reading) -> LineFacts:
    """Name no position."""
    return LineFacts()


@step
def no_facts(reading: Reading) -> Facts:
    """Name nothing at all: no model gave a usable answer."""
    return Facts(
        file=reading.file, kind="unclear", reason="The model gave no usable answer: nothing was read."
    )

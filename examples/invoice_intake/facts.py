"""What an invoice says, each fact with where it was read and why it was believed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

Value = TypeVar("Value")


class Frozen(BaseModel):
    """A model whose values do not change once read."""

    model_config = ConfigDict(frozen=True)


class Fact(Frozen, Generic[Value]):
    """One fact and its evidence; `value` is None where nothing was read or the reading stayed ambiguous.

    Attributes:
        value: the fact.
        confidence: 0 to 1, by how explicit its label is; for ordering what a person sees, never a proof.
        page: the page it stands on, from 1.
        printed: the line it was read from.
        considered: the other readings that were possible.
        why: a sentence.
    """

    value: Value | None = None
    confidence: float = 0.0
    page: int | None = None
    printed: str = ""
    considered: tuple[str, ...] = ()
    why: str = "not found"


class SupplierFacts(Frozen):
    """Who sent the invoice, and its number."""

    supplier: Fact[str] = Fact[str]()
    number: Fact[str] = Fact[str]()
    vat_id: Fact[str] = Fact[str]()


class DateFacts(Frozen):
    """When it was issued and when it is due."""

    issued: Fact[date] = Fact[date]()
    due: Fact[date] = Fact[date]()


class TaxLine(Frozen):
    """One row of tax: its rate in percent and its base where they are printed."""

    rate: Decimal | None = None
    base: Decimal | None = None
    tax: Decimal


class AmountFacts(Frozen):
    """What it costs."""

    currency: Fact[str] = Fact[str]()
    net: Fact[Decimal] = Fact[Decimal]()
    tax: Fact[Decimal] = Fact[Decimal]()
    gross: Fact[Decimal] = Fact[Decimal]()
    taxes: tuple[TaxLine, ...] = ()
    adjustments: Decimal = Decimal(0)


class LineItem(Frozen):
    """One position: quantity times unit price is its total, where all three are printed."""

    description: str
    quantity: Decimal | None = None
    unit_price: Decimal | None = None
    total: Decimal
    page: int = 1


class LineFacts(Frozen):
    """The positions that could be read, in order, and how they were found."""

    items: tuple[LineItem, ...] = ()
    why: str = "no table of positions found"

    @property
    def total(self) -> Decimal | None:
        """The sum of the positions; None if there are none."""
        return sum((item.total for item in self.items), Decimal(0)) if self.items else None


DocumentKind = Literal["invoice", "credit_note", "not_an_invoice", "unclear", "unreadable"]


class Facts(Frozen):
    """Everything that was read of one file.

    Attributes:
        file: the name of the file.
        kind: what sort of paper it is; only an `invoice` can be proved.
        reason: why it is of this kind, in words.
        read_by: "rules", or the name of the model that read it.
    """

    file: str
    kind: DocumentKind
    reason: str = ""
    supplier: SupplierFacts = SupplierFacts()
    dates: DateFacts = DateFacts()
    amounts: AmountFacts = AmountFacts()
    lines: LineFacts = LineFacts()
    read_by: str = "rules"

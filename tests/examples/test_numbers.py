"""Printed numbers: every usual way of writing an amount gives that amount, and what is ambiguous says so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.invoice_intake.document import Clues, Line, Word, fold
from examples.invoice_intake.number_formats import DecimalMark, decimal_mark, parse_number
from examples.invoice_intake.printed import Printed, numbers_of

cents = st.integers(min_value=0, max_value=10**11)


def grouped(whole: str, separator: str) -> str:
    """Digits with a separator before each group of three."""
    head = len(whole) % 3
    parts = [whole[:head]] if head else []
    return separator.join([*parts, *(whole[at : at + 3] for at in range(head, len(whole), 3))])


def lakhs(whole: str) -> str:
    """Digits grouped the Indian way: three at the end, then twos."""
    if len(whole) <= 3:
        return whole
    rest, parts = whole[:-3], [whole[-3:]]
    while rest:
        rest, part = rest[:-2], rest[-2:]
        parts.insert(0, part)
    return ",".join(parts)


@given(
    cents,
    st.sampled_from([(",", "."), (".", ","), ("'", "."), (" ", ","), ("\u202f", ","), ("", "."), ("", ",")]),
)
def test_any_amount_with_two_decimals_is_read_back(amount: int, style: tuple[str, str]) -> None:
    separator, mark = style
    whole, fraction = divmod(amount, 100)
    printed = f"{grouped(str(whole), separator)}{mark}{fraction:02}"
    assert parse_number(printed) == (Decimal(amount).scaleb(-2),)


@given(cents)
def test_lakhs_are_read_back(amount: int) -> None:
    whole, fraction = divmod(amount, 100)
    assert parse_number(f"{lakhs(str(whole))}.{fraction:02}") == (Decimal(amount).scaleb(-2),)


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from([".", ","]))
def test_one_separator_and_three_digits_have_two_readings_until_the_document_decides(
    whole: int, rest: int, separator: DecimalMark
) -> None:
    printed = f"{whole}{separator}{rest:03}"
    other: DecimalMark = "," if separator == "." else "."
    assert parse_number(printed) == (Decimal(f"{whole}{rest:03}"), Decimal(f"{whole}.{rest:03}"))
    assert parse_number(printed, separator) == (Decimal(f"{whole}.{rest:03}"),)
    assert parse_number(printed, other) == (Decimal(f"{whole}{rest:03}"),)


@given(st.text(alphabet="0123456789.,' ", max_size=16))
def test_parsing_never_fails_and_never_gives_three_readings(text: str) -> None:
    assert len(parse_number(text)) <= 2


@pytest.mark.parametrize(
    "text", ["", ".", "1.2.3", "01.05.14", "12,34,56", "1.23,45.6", "1,2345,678", "12 34", "192.168.0.1"]
)
def test_what_is_no_amount_has_no_reading(text: str) -> None:
    assert parse_number(text) == ()


@pytest.mark.parametrize(
    ("texts", "mark"),
    [
        (["1.234,56", "12,00"], ","),
        (["1,234.56"], "."),
        (["1,25,000.00"], "."),
        (["1.234", "5.678"], None),
        (["12.50", "12,50"], None),
        (["12,50", "99,90", "3.50", "1,00", "2,00"], ","),
        ([], None),
    ],
)
def test_the_document_decides_the_decimal_mark(texts: list[str], mark: DecimalMark | None) -> None:
    assert decimal_mark(texts) == mark


def numbers(text: str, mark: DecimalMark | None = None) -> list[Printed]:
    """The numbers of a line whose words stand apart by a blank, or by a wide gap for a tab."""
    words: list[Word] = []
    x = 0.0
    for cell in text.split("\t"):
        for word in cell.split(" "):
            words.append(Word(word, x, x + 5.0 * len(word)))
            x += 5.0 * len(word) + 2.5
        x += 30
    return list(numbers_of(Line(page=1, top=0, bottom=10, words=tuple(words)), 0, Clues(decimal_mark=mark)))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Total 1 234,56 €", ["1234.56"]),
        ("Discount\t-40.00", ["-40.00"]),
        ("Discount\t- £40.00", ["-40.00"]),
        ("Discount\t(40.00)", ["-40.00"]),
        ("Gutschrift\t40,00-", ["-40.00"]),
        ("Betrag\t150,-- EUR", ["150"]),
        ("CHF 12.–", ["12"]),
        ("Balance $12.00 CR", ["-12.00"]),
        ("US$1,299.00", ["1299.00"]),
        ("12.50EUR", ["12.50"]),
        ("2\t45.00\t90.00", ["2", "45.00", "90.00"]),
    ],
)
def test_signs_and_currencies_belong_to_their_number(text: str, values: list[str]) -> None:
    assert [
        str(one.value) for one in numbers(text, "," if "," in text and "." not in text else ".")
    ] == values


@pytest.mark.parametrize(
    "text",
    [
        "01.05.14-31.05.14",
        "15-10-2015",
        "DE30507500940000048567",
        "12:30",
        "v2.0.1",
        "10.0.0.1",
        "A4/80",
        "#4711",
        "mail@1und1.de",
    ],
)
def test_dates_codes_and_addresses_hold_no_amounts(text: str) -> None:
    assert [one for one in numbers(text) if one.monetary] == []


def test_quantity_beside_a_price_is_not_swallowed() -> None:
    (number,) = [one for one in numbers("Total 1 278.61", ".") if one.decimals == 2]
    assert (number.value, number.other) == (Decimal("1278.61"), Decimal("278.61"))


@given(st.text(max_size=40))
def test_folding_keeps_every_position(text: str) -> None:
    assert len(fold(text)) == len(text)

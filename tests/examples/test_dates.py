"""Dates in many languages, told apart by their labels, and left open where day and month cannot be told."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from examples.invoice_intake.drawing import Sheet, Text
from tests.examples.papers import judge


def read(lines: list[str], folder: Path) -> tuple[date | None, date | None]:
    """The dates of issue and payment on a page with these lines."""
    pieces = tuple(Text(50, 60 + 20 * row, line, 10) for row, line in enumerate(lines))
    facts, _ = judge(Sheet("dates", {}, (pieces,)), folder)
    return facts.dates.issued.value, facts.dates.due.value


@pytest.mark.parametrize(
    ("lines", "issued"),
    [
        (["Invoice", "Invoice date: 14 March 2021"], date(2021, 3, 14)),
        (["Invoice", "Date: March 14th, 2021"], date(2021, 3, 14)),
        (["Invoice", "Invoice Date 14-Mar-21"], date(2021, 3, 14)),
        (["Invoice", "Date of issue: 2021-03-14"], date(2021, 3, 14)),
        (["Invoice", "Issued on 14/03/2021"], date(2021, 3, 14)),
        (["Rechnung", "Rechnungsdatum: 7. Mai 2014"], date(2014, 5, 7)),
        (["Rechnung", "Datum 07.05.14"], date(2014, 5, 7)),
        (["Rechnung", "Köln, den 3. März 2020"], date(2020, 3, 3)),
        (["Rechnung Nr. 12 vom 03.03.2020"], date(2020, 3, 3)),
        (["Facture", "Date de facture : 1er février 2019"], date(2019, 2, 1)),
        (["Facture n° 77 du 02 Juillet 2015"], date(2015, 7, 2)),
        (["Facture", "Paris, le 9 août 2018"], date(2018, 8, 9)),
        (["Factura", "Fecha: 15 de enero de 2020"], date(2020, 1, 15)),
        (["Factura", "Fecha factura: 03/04/2020", "Importe total"], date(2020, 4, 3)),
        (["Fattura n. 8 del 30 settembre 2020"], date(2020, 9, 30)),
        (["Factuur", "Factuurdatum: 7 juni 2019"], date(2019, 6, 7)),
        (["Fatura", "Data de emissão: 9 de novembro de 2020"], date(2020, 11, 9)),
        (["Faktura", "Fakturadatum 2021-03-01"], date(2021, 3, 1)),
    ],
)
def test_date_of_issue_in_many_languages(lines: list[str], issued: date, tmp_path: Path) -> None:
    assert read(lines, tmp_path)[0] == issued


def test_other_dates_are_not_taken_for_it(tmp_path: Path) -> None:
    lines = [
        "Invoice 4711",
        "Order date: 01 May 2020",
        "Delivery date: 03 May 2020",
        "Billing period 1 April 2020 - 30 April 2020",
        "Invoice date: 05 May 2020",
        "Payment due by 04 June 2020",
        "Printed 06 May 2020",
    ]
    assert read(lines, tmp_path) == (date(2020, 5, 5), date(2020, 6, 4))


def test_day_and_month_stay_open_where_nothing_decides(tmp_path: Path) -> None:
    assert read(["Invoice", "Invoice date: 03/04/2020"], tmp_path)[0] is None


@pytest.mark.parametrize(
    ("more", "issued"),
    [
        ("Delivered 25/03/2020", date(2020, 4, 3)),
        ("Delivered 03/25/2020", date(2020, 3, 4)),
        ("Leeds, United Kingdom", date(2020, 4, 3)),
        ("Springfield, IL 62701, USA", date(2020, 3, 4)),
        ("GSTIN 29ABCDE1234F1Z5, India", date(2020, 4, 3)),
        ("Terms: net 30, due date 03/05/2020", date(2020, 4, 3)),
        ("Terms: net 30, due date 04/03/2020", date(2020, 3, 4)),
    ],
)
def test_other_words_on_the_page_decide(more: str, issued: date, tmp_path: Path) -> None:
    assert read(["Invoice", "Invoice date: 03/04/2020", more], tmp_path)[0] == issued


def test_impossible_dates_are_no_dates(tmp_path: Path) -> None:
    assert read(["Invoice", "Invoice date: 31/02/2020"], tmp_path)[0] is None


def test_the_day_the_file_was_made_decides_only_if_it_is_near(tmp_path: Path) -> None:
    # The files drawn here always say that they were made on 1 January 2000.
    assert read(["Invoice", "Invoice date: 01/02/2000"], tmp_path)[0] == date(2000, 1, 2)
    assert read(["Invoice", "Invoice date: 01/02/2001"], tmp_path)[0] is None

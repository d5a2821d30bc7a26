"""Every invented layout is read as it states, and proved only where its page proves it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from examples.invoice_intake.drawing import Sheet, Text
from tests.examples.papers import LAYOUTS, as_stated, judge


@pytest.mark.parametrize("sheet", LAYOUTS, ids=lambda sheet: sheet.name)
def test_layout_is_read_as_it_states(sheet: Sheet, tmp_path: Path) -> None:
    facts, proof = judge(sheet, tmp_path)
    read = as_stated(facts)
    stated: dict[str, str | None] = {name: sheet.stated.get(name) for name in read}
    if "lines" not in sheet.stated:
        del read["lines"], stated["lines"]
    if sheet.stated["kind"] == "not_an_invoice":
        read, stated = {"kind": read["kind"]}, {"kind": stated["kind"]}
    assert read == stated
    if sheet.stated["proved"] != "either":
        assert proof.proved == (sheet.stated["proved"] == "yes"), proof.reason


def changed(sheet: Sheet, page: int, index: int, piece: Text | None) -> Sheet:
    """The sheet with one piece replaced, or left out."""
    pages = [list(pieces) for pieces in sheet.pages]
    pages[page][index : index + 1] = [] if piece is None else [piece]
    return replace(sheet, pages=tuple(tuple(pieces) for pieces in pages))


def damaged(sheet: Sheet, chance: random.Random) -> Iterator[tuple[str, Sheet]]:
    """The sheet with each piece left out, each label made meaningless and a digit of each amount changed."""
    for page, pieces in enumerate(sheet.pages):
        for index, piece in enumerate(pieces):
            yield f"without {piece.text!r}", changed(sheet, page, index, None)
            digits = list(re.finditer(r"\d(?=\d*[.,]\d\d\b)", piece.text))
            if digits:
                at = chance.choice(digits)
                digit = str((int(at[0]) + chance.randint(1, 9)) % 10)
                text = piece.text[: at.start()] + digit + piece.text[at.end() :]
                yield f"{piece.text!r} as {text!r}", changed(sheet, page, index, piece._replace(text=text))
            elif re.search("[A-Za-z]{3}", piece.text):
                yield f"{piece.text!r} unlabelled", changed(sheet, page, index, piece._replace(text="Xyzzy"))


PROVABLE = [sheet for sheet in LAYOUTS if sheet.stated["kind"] == "invoice" and "gross" in sheet.stated]


def wrongly_proved(sheet: Sheet, damages: list[tuple[str, Sheet]], folder: Path) -> list[str]:
    """The damages after which another amount than the stated one is proved."""
    wrong: list[str] = []
    for what, damage in damages:
        facts, proof = judge(damage, folder)
        if proof.proved and str(facts.amounts.gross.value) != sheet.stated["gross"]:
            wrong.append(f"{what}: {facts.amounts.gross.value} proved because {proof.reason}")
    return wrong


@pytest.mark.parametrize("sheet", PROVABLE, ids=lambda sheet: sheet.name)
def test_damaged_page_never_proves_another_amount(sheet: Sheet, tmp_path: Path) -> None:
    chance = random.Random(sheet.name)
    damages = list(damaged(sheet, chance))
    assert wrongly_proved(sheet, chance.sample(damages, min(8, len(damages))), tmp_path) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sheet", PROVABLE, ids=lambda sheet: sheet.name)
def test_no_damage_at_all_proves_another_amount(sheet: Sheet, seed: int, tmp_path: Path) -> None:
    assert wrongly_proved(sheet, list(damaged(sheet, random.Random(seed))), tmp_path) == []

"""The shipped samples are what their script makes, say that they are invented, and are read as they state."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from examples.invoice_intake.duplicates import duplicate_key
from examples.invoice_intake.gather import read_facts
from examples.invoice_intake.make_samples import SAMPLES, expected, sheets, write_samples
from examples.invoice_intake.proof import prove
from examples.invoice_intake.reading import read_pdf
from tests.examples.papers import as_stated

FACTS = ("kind", "supplier", "number", "date", "currency", "net", "tax", "gross")


def stated(folder: Path) -> list[dict[str, str | bool | None]]:
    """What `expected.json` of a folder says."""
    return json.loads((folder / "expected.json").read_text(encoding="utf-8"))


def test_samples_made_anew_are_the_shipped_ones(tmp_path: Path) -> None:
    made = write_samples(tmp_path)
    assert [path.name for path in made] == sorted(path.name for path in SAMPLES.glob("*.pdf"))
    assert stated(tmp_path) == stated(SAMPLES) == [expected(sheet) for sheet in sheets()]
    for path in made:
        assert read_facts(read_pdf(path)) == read_facts(read_pdf(SAMPLES / path.name))


@pytest.mark.parametrize("facts", stated(SAMPLES), ids=lambda facts: facts["file"])
def test_sample_is_read_as_it_states(facts: dict[str, str | bool | None]) -> None:
    reading = read_pdf(SAMPLES / str(facts["file"]))
    read = read_facts(reading)
    proof = prove(reading, read)
    assert proof.proved is facts["proved"], proof.reason
    names = FACTS if facts["kind"] == "invoice" else ("kind",)
    found = as_stated(read)
    assert {name: found[name] for name in names} == {name: facts[name] for name in names}
    if reading.kind == "document":
        assert "INVENTED SAMPLE" in reading.text


def test_the_duplicate_has_the_key_of_the_other() -> None:
    (copy,) = [facts for facts in stated(SAMPLES) if facts["duplicate_of"]]
    keys = [
        duplicate_key(read_facts(read_pdf(SAMPLES / str(copy[name])))) for name in ("file", "duplicate_of")
    ]
    assert keys[0] is not None
    assert keys[0] == keys[1]

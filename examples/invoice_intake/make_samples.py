"""Make the sample invoices out of `sample_pages/`: `python -m invoice_intake.make_samples`.

All of them are invented and say so on the page. They differ in layout, language, currency and number format;
one has a wrong sum, one repeats another, one is a scan without text and one is no invoice. `expected.json`
holds the facts that each of them states.
"""

from __future__ import annotations

import json
from pathlib import Path

from .drawing import Sheet, draw_sheet, read_sheet

HERE = Path(__file__).parent
PAGES, SAMPLES = HERE / "sample_pages", HERE / "samples"
NOTICE = "INVENTED SAMPLE made by make_samples.py: no such company, no such invoice. Do not pay."
FACTS = ("kind", "supplier", "number", "date", "currency", "net", "tax", "gross", "duplicate_of")


def sheets() -> list[Sheet]:
    """The sheets of all samples, in the order of their names."""
    return [read_sheet(path) for path in sorted(PAGES.glob("*.page"))]


def expected(sheet: Sheet) -> dict[str, str | bool | None]:
    """The facts that a sample states, as `expected.json` holds them; null where it states none."""
    facts: dict[str, str | bool | None] = {"file": f"{sheet.name}.pdf"}
    facts |= {name: sheet.stated.get(name) for name in FACTS}
    return {**facts, "proved": sheet.stated["proved"] == "yes"}


def write_samples(folder: Path = SAMPLES) -> list[Path]:
    """Write the samples and `expected.json`.

    Args:
        folder: where to write; made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for sheet in sheets():
        made.append(folder / f"{sheet.name}.pdf")
        made[-1].write_bytes(draw_sheet(sheet, notice=NOTICE))
    facts = [expected(sheet) for sheet in sheets()]
    text = json.dumps(facts, ensure_ascii=False, indent=2) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")
    return made


if __name__ == "__main__":
    for path in write_samples():
        print(path.name)

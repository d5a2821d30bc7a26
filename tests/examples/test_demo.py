"""The demonstration as users call it: on the samples, killed, resumed, called twice, and on damaged files."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.invoice_intake.demo import demo
from flujo import SQLiteStore
from flujo.cli.demo import DemoOptions
from flujo.errors import ConfigError
from flujo.journal.events import Event
from flujo.journal.store import RunQuery

SAMPLES = Path(__file__).parents[2] / "examples" / "invoice_intake" / "samples"
REAL = Path(__file__).parents[3] / "shared" / "data" / "invoices"
THREE = [SAMPLES / name for name in ("01-english-pounds.pdf", "07-wrong-sum.pdf", "08-duplicate.pdf")]
FLUJO = Path(sys.executable).parent / "flujo"
KEYS = (
    *("file", "supplier", "number", "date", "currency", "net", "tax", "gross"),
    *("proved", "decision", "decided_by", "run_id"),
)
ALL_STEPS = 100
"""Ten files, ten steps each."""


def run(out: Path, *files: Path) -> int:
    """Call the demonstration in this process."""
    return demo(DemoOptions(files=files, auto=True, out=out))


def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the demonstration as users do."""
    return subprocess.run([FLUJO, "demo", *words], capture_output=True, text=True, timeout=100, check=False)


def rows(out: Path) -> list[dict[str, Any]]:
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def unnamed(out: Path) -> list[dict[str, Any]]:
    """Return the rows without the names of their runs, which differ from folder to folder."""
    return [{key: value for key, value in row.items() if key != "run_id"} for row in rows(out)]


def journals(out: Path) -> dict[str, list[Event]]:
    """Return the events of every run of a folder."""

    async def read() -> dict[str, list[Event]]:
        store = SQLiteStore(out / "flujo_ops.db")
        page = await store.runs(RunQuery(limit=1000))
        found = {record.run_id: await store.events(record.run_id) for record in page.runs}
        await store.close()
        return found

    return asyncio.run(read())


def steps_of(events: Sequence[Event]) -> list[str]:
    return [event.address for event in events if event.kind == "step.completed"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where all samples were taken in."""
    out = tmp_path_factory.mktemp("done")
    assert run(out) == 0
    return out


def test_results_say_what_the_samples_state(done: Path) -> None:
    expected = json.loads((SAMPLES / "expected.json").read_text(encoding="utf-8"))
    found = rows(done)

    assert [tuple(row) for row in found] == [KEYS] * len(expected)
    for want, got in zip(expected, found, strict=True):
        stated = {key: want[key] for key in KEYS if key in want}
        assert {key: got[key] for key in stated} == stated


def test_decisions_on_the_samples(done: Path) -> None:
    decided = {row["file"][:2]: (row["decision"], row["decided_by"]) for row in rows(done)}

    assert decided == {
        "01": ("posted", "proof"),
        "02": ("posted", "proof"),
        "03": ("posted", "proof"),
        "04": ("posted", "proof"),
        "05": ("approved", "scripted reviewer"),
        "06": ("posted", "proof"),
        "07": ("rejected", "scripted reviewer"),
        "08": ("rejected", "scripted reviewer"),
        "09": ("rejected", "scripted reviewer"),
        "10": ("rejected", "scripted reviewer"),
    }


def test_postings_are_what_was_posted_or_approved(done: Path) -> None:
    posted = {row["run_id"]: row for row in rows(done) if row["decision"] in ("posted", "approved")}
    files = [json.loads(path.read_text(encoding="utf-8")) for path in (done / "postings").iterdir()]
    lines = (done / "ledger.csv").read_text(encoding="utf-8").splitlines()

    assert {row["run_id"]: row for row in files} == posted
    assert lines[0] == ",".join(KEYS)
    assert len(lines) == 1 + len(posted)


def test_the_journal_names_the_scripted_reviewer(done: Path) -> None:
    answers = [
        json.loads(event.body)
        for events in journals(done).values()
        for event in events
        if event.kind == "answer"
    ]

    assert len(answers) == 5
    assert {(one["actor"], one["channel"]) for one in answers} == {("scripted reviewer", "demo")}
    assert all(one["reason"] for one in answers)


def test_the_report_shows_every_run_and_needs_nothing_else(done: Path) -> None:
    page = (done / "report.html").read_text(encoding="utf-8")

    for row in rows(done):
        assert f'<section id="{row["run_id"]}">' in page
    assert "600.00 + 126.00 is not 762.00." in page
    assert "scripted reviewer (demo): reject" in page
    assert page.count("run completed") == 10
    assert not re.search(r"<script|<link|src=|url\(|https?:", page)


def test_the_end_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, SAMPLES / "01-english-pounds.pdf") == 0

    said = capsys.readouterr().out
    assert "Thistle & Wren Stationers Ltd" in said
    assert "411.60 GBP" in said
    assert "Audit: sound, 16 events of 1 run as" in said
    assert str(tmp_path / "results.json") in said
    assert re.search(r"Next:  flujo runs show 01-english-pounds-\w{10} --store ", said)


def test_the_second_call_runs_nothing(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, events = rows(done), journals(done)

    assert run(done) == 0

    assert f"Nothing ran: all {ALL_STEPS} steps were recorded" in capsys.readouterr().out
    assert rows(done) == before
    assert journals(done) == events


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where three of the samples were taken in, thirty steps."""
    out = tmp_path_factory.mktemp("three")
    assert run(out, *THREE) == 0
    return out


@pytest.mark.e2e
@pytest.mark.parametrize("steps", [1, 4, 10, 18, 30])
def test_a_killed_job_is_finished_without_repeating_a_step(steps: int, tmp_path: Path, three: Path) -> None:
    killed = call("--auto", "--out", tmp_path, "--crash-after", str(steps), *THREE)
    assert killed.returncode == -9
    assert f"demo --resume --out {tmp_path}" in killed.stderr
    assert not (tmp_path / "results.json").exists()
    before = journals(tmp_path)
    recorded = sum(len(steps_of(events)) for events in before.values())
    # The four readers, steps 2 to 5, run side by side and may share a commit.
    assert steps <= recorded <= 5 if steps in range(2, 6) else recorded == steps

    resumed = call("--resume", "--out", tmp_path)

    assert resumed.returncode == 0, resumed.stderr
    told = f"{recorded} recorded steps were reused and not run again; {30 - recorded} ran now"
    assert (told if recorded < 30 else "Nothing ran: all 30 steps") in resumed.stdout
    after = journals(tmp_path)
    for run_id, events in before.items():
        assert after[run_id][: len(events)] == events
    for events in after.values():
        assert len(steps_of(events)) == len(set(steps_of(events))) == 10
    assert unnamed(tmp_path) == unnamed(three)
    assert len(list((tmp_path / "postings").iterdir())) == 1


@pytest.mark.e2e
def test_a_job_may_be_killed_again_and_again(tmp_path: Path, done: Path) -> None:
    words: list[str | Path] = ["--auto", "--out", tmp_path, "--crash-after", "40"]
    assert call(*words).returncode == -9
    assert call("--resume", *words).returncode == -9

    assert call("--resume", "--auto", "--out", tmp_path).returncode == 0
    assert unnamed(tmp_path) == unnamed(done)


def test_two_folders_may_share_a_store(tmp_path: Path) -> None:
    for out in (tmp_path / "one", tmp_path / "two"):
        files = [SAMPLES / "01-english-pounds.pdf"]
        assert demo(DemoOptions(files=files, auto=True, out=out, store=tmp_path / "shared.db")) == 0
        assert len(list((out / "postings").iterdir())) == 1


def test_files_come_in_the_order_given(tmp_path: Path) -> None:
    files = [SAMPLES / "08-duplicate.pdf", SAMPLES / "01-english-pounds.pdf", SAMPLES / "08-duplicate.pdf"]

    assert run(tmp_path, *files) == 0

    assert [(row["file"], row["decision"]) for row in rows(tmp_path)] == [
        ("08-duplicate.pdf", "posted"),
        ("01-english-pounds.pdf", "rejected"),
    ]


def test_an_earlier_job_in_the_folder_is_remembered(tmp_path: Path) -> None:
    run(tmp_path, SAMPLES / "01-english-pounds.pdf")
    run(tmp_path, SAMPLES / "08-duplicate.pdf")

    assert [row["decision"] for row in rows(tmp_path)] == ["rejected"]
    assert len(list((tmp_path / "postings").iterdir())) == 1


def test_files_that_are_no_invoices_end_as_rows(tmp_path: Path) -> None:
    whole = (SAMPLES / "01-english-pounds.pdf").read_bytes()
    contents = {
        "cut.pdf": whole[: len(whole) // 2],
        "empty.pdf": b"",
        "noise.pdf": b"%PDF-1.7\n" + bytes(range(256)) * 40,
        "text.pdf": b"Dear Sir or Madam",
    }
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name, content in contents.items():
        (inbox / name).write_bytes(content)

    assert run(tmp_path / "out", inbox) == 0

    assert [(row["file"], row["gross"], row["decision"]) for row in rows(tmp_path / "out")] == [
        (name, None, "rejected") for name in contents
    ]


def test_a_changed_file_is_another_run(tmp_path: Path) -> None:
    paper = tmp_path / "paper.pdf"
    paper.write_bytes(b"not yet")
    run(tmp_path / "out", paper)
    paper.write_bytes((SAMPLES / "01-english-pounds.pdf").read_bytes())

    run(tmp_path / "out", paper)

    assert [row["decision"] for row in rows(tmp_path / "out")] == ["posted"]
    assert len(journals(tmp_path / "out")) == 2


def test_a_changed_journal_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, SAMPLES / "01-english-pounds.pdf")
    with sqlite3.connect(tmp_path / "flujo_ops.db") as file:
        file.execute("UPDATE events SET body = replace(body, '411.60', '911.60') WHERE address = 'post'")
    file.close()

    assert run(tmp_path, SAMPLES / "02-german-two-rates.pdf") == 6

    said = capsys.readouterr().out
    assert "Audit: 1 of 2 runs broken" in said
    assert "Next:  flujo audit verify" in said
    assert "broken" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_there_is_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        demo(DemoOptions(resume=True, out=tmp_path))


def test_a_folder_without_pdfs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no PDF in"):
        run(tmp_path / "out", tmp_path)


@pytest.mark.parametrize("limit", ["much", "NaN", "-1"])
def test_a_limit_that_is_no_amount(limit: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no amount"):
        demo(DemoOptions(limit=limit, out=tmp_path))


@pytest.mark.skipif(not REAL.is_dir(), reason="the real invoices are not beside the repository")
def test_real_invoices_are_posted_right_or_not_at_all(tmp_path: Path) -> None:
    assert run(tmp_path, REAL) == 0

    for row in rows(tmp_path):
        known = json.loads((REAL / row["file"]).with_suffix(".json").read_text(encoding="utf-8"))[0]
        if row["decision"] != "rejected":
            assert float(row["gross"]) == known["amount"]
            assert row["date"] == known["date"]
            assert row["currency"] == known["currency"]

"""The same pipeline with a model in the place of the rules: the same proof guards what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from examples.invoice_intake import ask_model
from examples.invoice_intake.by_model import ModelSettings
from examples.invoice_intake.demo import demo
from examples.invoice_intake.pipeline import IntakeContext, intake
from examples.invoice_intake.posting import ResultRow, posted_rows
from flujo import Flujo, PipelineResult, SQLiteStore, Usage
from flujo.cli.demo import DemoOptions
from flujo.errors import ConfigError
from flujo.testing import VirtualClock
from tests.examples.test_by_model import RIGHT, serving

SAMPLES = Path(__file__).parents[2] / "examples" / "invoice_intake" / "samples"
KEY = "sk-not-to-be-kept"


async def taken_in(url: str, folder: Path, name: str = "01-english-pounds.pdf") -> PipelineResult[ResultRow]:
    settings = ModelSettings(model="test-model", base_url=url, api_key=KEY)
    store = SQLiteStore(folder / "flujo_ops.db")
    async with Flujo(intake(settings), state=store, clock=VirtualClock()) as runner:
        return await runner.run_async(str(SAMPLES / name), context=IntakeContext(folder=str(folder)))


def answer(changes: Mapping[str, object]) -> str:
    return RIGHT.model_copy(update=changes).model_dump_json()


async def test_what_a_model_reads_right_is_posted(tmp_path: Path) -> None:
    with serving(answer({})) as server:
        result = await taken_in(server.url, tmp_path)

    assert (result.unwrap().decision, result.unwrap().gross) == ("posted", "411.60")
    assert result.usage == Usage(requests=1)


async def test_an_amount_that_a_model_reads_wrong_waits_for_a_person(tmp_path: Path) -> None:
    with serving(answer({"gross": "441.60"})) as server:
        result = await taken_in(server.url, tmp_path)

    assert result.status == "paused"
    assert posted_rows(tmp_path) == []


async def test_a_smaller_total_that_adds_up_is_not_posted_either(tmp_path: Path) -> None:
    with serving(answer({"net": "222.00", "tax": "0.00", "gross": "222.00"})) as server:
        result = await taken_in(server.url, tmp_path)

    assert result.status == "paused"


async def test_a_failing_server_is_asked_three_times_and_then_the_run_waits(tmp_path: Path) -> None:
    with serving("", status=503) as server:
        result = await taken_in(server.url, tmp_path)

    assert len(server.requests) == 3
    assert result.status == "paused"
    assert "127.0.0.1 answered 503." in result.pending[0].prompt
    assert posted_rows(tmp_path) == []


async def test_a_useless_answer_goes_to_a_person_with_its_cause(tmp_path: Path) -> None:
    with serving("I cannot read it.") as server:
        result = await taken_in(server.url, tmp_path)

    assert len(server.requests) == 3
    assert result.pending[0].address == "decide/doubt/review"
    assert "no usable answer: 127.0.0.1 gave an answer that does not fit" in result.pending[0].prompt


async def test_a_scan_is_not_shown_to_a_model(tmp_path: Path) -> None:
    with serving(answer({})) as server:
        result = await taken_in(server.url, tmp_path, "09-scan-without-text.pdf")

    assert result.status == "paused"
    assert server.requests == []


async def test_the_key_is_kept_nowhere(tmp_path: Path) -> None:
    with serving(answer({})) as server:
        await taken_in(server.url, tmp_path)

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert server.authorization == [f"Bearer {KEY}"]
    assert KEY.encode() not in kept


@pytest.mark.parametrize(("content", "status"), [(f"You sent {KEY}", 200), ("", 401)])
async def test_nor_is_it_kept_if_the_server_repeats_it(content: str, status: int, tmp_path: Path) -> None:
    with serving(content, status, f"bad key {KEY}") as server:
        await taken_in(server.url, tmp_path)

    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert len(server.requests) == 3
    assert KEY.encode() not in kept


def by_model(url: str, folder: Path, *, resume: bool = False) -> int:
    files = () if resume else (SAMPLES / "01-english-pounds.pdf",)
    options = DemoOptions(
        files=files, auto=True, out=folder, resume=resume, model="test-model", model_url=url
    )
    return demo(options)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts that wait for nothing, and no key of whoever runs the tests."""
    monkeypatch.setattr(ask_model, "BACKOFF", 0.0)
    monkeypatch.setenv("FLUJO_MODEL_KEY", KEY)


@pytest.mark.usefixtures("at_once")
def test_a_job_waits_for_its_model_and_goes_on_once_it_is_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(answer({}), status=401, error=f"bad key {KEY}") as server:
        assert by_model(server.url, tmp_path) == 1
        assert by_model(server.url, tmp_path, resume=True) == 1
    said = capsys.readouterr()
    assert "127.0.0.1 answered 401." in said.out + said.err
    assert "demo --resume" in said.out
    assert "rejected" not in said.out
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "127.0.0.1 answered 401." in report
    assert KEY not in report + said.out + said.err

    with serving(answer({})) as server:
        assert by_model(server.url, tmp_path, resume=True) == 0
    assert [row.decision for row in posted_rows(tmp_path)] == ["posted"]
    assert "1 recorded steps were reused and not run again; 5 ran now" in capsys.readouterr().out


@pytest.mark.usefixtures("at_once")
def test_a_job_whose_model_answers_nothing_usable_does_not_end_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving("I cannot read it.") as server:
        assert by_model(server.url, tmp_path) == 1
    assert "no usable answer: 127.0.0.1 gave an answer" in " ".join(capsys.readouterr().err.split())


def test_a_setting_that_cannot_work_is_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no model of a known provider"):
        demo(DemoOptions(auto=True, out=tmp_path / "out", model="bogus"))
    assert not (tmp_path / "out").exists()

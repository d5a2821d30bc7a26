"""The same pipeline with a model in the place of the rules: the same proof guards what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from examples.invoice_intake.by_model import ModelSettings
from examples.invoice_intake.pipeline import IntakeContext, intake
from examples.invoice_intake.posting import ResultRow, posted_rows
from flujo import Flujo, PipelineResult, SQLiteStore, Usage
from tests.clock import VirtualClock
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


async def test_a_failing_server_is_asked_three_times_and_then_a_person(tmp_path: Path) -> None:
    with serving("", status=503) as server:
        result = await taken_in(server.url, tmp_path)

    assert len(server.requests) == 3
    assert result.status == "paused"
    assert "no usable answer" in result.pending[0].prompt
    assert posted_rows(tmp_path) == []


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

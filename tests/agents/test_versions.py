"""The oldest pydantic-ai that is supported, and messages of other versions."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from flujo import Flujo, MemoryStore, Step
from flujo.agents import ModelAgent
from flujo.errors import PlanChanged
from flujo.journal.events import Event, link
from flujo.testing import Died, Mortal, ScriptedModel, UseTool
from tests.crash.harness import RUN, sliced

ROOT = Path(__file__).parents[2]


async def weather(city: str) -> str:
    """Tell the weather."""
    return f"sun in {city}"


async def test_a_recorded_message_of_another_version_is_told_and_not_shown() -> None:
    inner = MemoryStore()
    agent = ModelAgent(
        ScriptedModel(UseTool("weather", {"city": "Rome"}), "done"), tools=[weather], name="clerk"
    )
    with pytest.raises(Died):
        await Flujo(Step(agent), state=Mortal(inner, 3)).run_async("go", run_id=RUN)

    def strange(body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "output": {"kind": "strange", "secret": 1}}

    store = await changed(inner, "clerk#model", strange)
    with pytest.raises(PlanChanged, match="cannot be read here") as raised:
        await Flujo(Step(agent), state=store).resume_async(RUN, take_over=True)
    assert "secret" not in str(raised.value)
    assert raised.value.addresses == ("clerk#model",)


async def changed(store: MemoryStore, address: str, change: Any) -> MemoryStore:
    """Return a store with the same journal but for one body, chained anew as another version would have."""
    events = await store.events(RUN)
    before, written = bytes(32), list[Event]()
    for event in events:
        body = to_json(change(from_json(event.body))) if event.address == address else event.body
        before = link(before, event.run_id, event.seq, event.kind, event.address, event.at, body)
        written.append(event._replace(body=body, hash=before))
    return await sliced(written, store, len(written))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_the_oldest_supported_pydantic_ai(tmp_path: Path) -> None:
    """The tests of agents pass with the lower bound that pyproject.toml names."""
    declared = (ROOT / "pyproject.toml").read_text()
    bound = re.search(r"pydantic-ai-slim\[.*?\]>=([\d.]+)", declared)
    assert bound is not None
    uv, python = ROOT / ".bootstrap" / "bin" / "uv", tmp_path / "venv" / "bin" / "python"
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    run = partial(subprocess.run, check=True, cwd=ROOT, env=env)
    run([uv, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv"])
    wanted = [f"pydantic-ai-slim[anthropic,openai]=={bound[1]}.*", "genai-prices", "-e", str(ROOT)]
    wanted += ["hypothesis", "inline-snapshot", "pytest", "pytest-asyncio", "pytest-timeout"]
    run([uv, "pip", "install", "--quiet", "--python", python, *wanted])
    run([python, "-m", "pytest", ROOT / "tests" / "agents" / "test_turns.py", "-p", "no:cacheprovider", "-q"])

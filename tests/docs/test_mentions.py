"""What users can name is told somewhere in the documentation: settings, hooks, events, errors."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

import flujo
from flujo import agents, errors, testing
from flujo.engine.hooks import Hook
from flujo.engine.result import PipelineResult, RunEvent, StepResult
from flujo.engine.runner import Flujo
from flujo.journal.events import EventKind
from flujo.pipeline.info import StepInfo
from flujo.pipeline.step import ResourceHints, Retry, StepSettings
from flujo.pipeline.waits import Approval, Decision

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = "".join(page.read_text(encoding="utf-8") for page in sorted((DOCS / "guide").glob("*.md")))


CORE = ("errors", "pipeline", "plan", "journal", "engine")
ROOMS = (*CORE, "testing", "worker", "server", "skills", "governance", "agents")
PUBLIC = {"flujo", "flujo_deidentifier", *(f"flujo.{room}" for room in ROOMS)}


def page(name: str) -> str:
    return (DOCS / "guide" / f"{name}.md").read_text(encoding="utf-8")


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")} | set(inspect.get_annotations(kind)) - {
        "_live"
    }


def parameters(kind: Callable[..., object]) -> set[str]:
    return set(inspect.signature(kind).parameters)


@pytest.mark.parametrize("name", flujo.__all__)
def test_each_exported_name_has_a_place_in_the_guides(name: str) -> None:
    assert name in GUIDE


@pytest.mark.parametrize("name", agents.__all__)
def test_each_name_of_the_agents_has_a_place_in_the_guides(name: str) -> None:
    assert re.search(rf"\b{name}\b", GUIDE)


@pytest.mark.parametrize("name", [name for name in StepSettings.__annotations__ if name != "name"])
def test_each_setting_of_a_step_has_a_section(name: str) -> None:
    assert f"\n## `{name}`\n" in page("steps")


@pytest.mark.parametrize(
    ("kind", "where"), [(Retry, "steps"), (ResourceHints, "steps"), (Decision, None), (Approval, None)]
)
def test_the_fields_of_what_users_make(kind: type, where: str | None) -> None:
    text = page(where) if where else GUIDE
    assert [name for name in parameters(kind) if name not in text] == []


@pytest.mark.parametrize("name", sorted(parameters(Flujo) | public(Flujo)))
def test_what_a_runner_takes_and_does(name: str) -> None:
    assert name in GUIDE


@pytest.mark.parametrize("name", sorted(public(StepInfo) - {"counts"}))
def test_what_a_step_may_ask_its_info(name: str) -> None:
    assert f"info.{name}" in GUIDE


@pytest.mark.parametrize("name", sorted(public(PipelineResult) | public(StepResult)))
def test_what_a_result_tells(name: str) -> None:
    assert name in page("results-and-errors")


@pytest.mark.parametrize("name", sorted(public(Hook)))
def test_each_moment_of_a_hook(name: str) -> None:
    assert f"`{name}(" in page("watching")


@pytest.mark.parametrize("event", get_args(RunEvent))
def test_each_event_of_a_stream(event: type) -> None:
    assert f"`{event.__name__}`" in page("watching") or "Finished" in str(event)


@pytest.mark.parametrize("kind", get_args(EventKind))
def test_each_kind_of_a_journal_event(kind: str) -> None:
    assert f"| `{kind}` |" in page("journal")


@pytest.mark.parametrize("name", [*testing.__all__, *sorted(parameters(testing.Lives.run_async) - {"self"})])
def test_what_a_test_may_use(name: str) -> None:
    assert re.search(rf"\b{name}\b", page("testing"))


def test_the_tree_of_errors_is_the_code_s() -> None:
    drawn = inspect.getdoc(errors) or ""
    tree = [line.strip() for line in drawn.splitlines() if "──" in line]
    assert len(tree) > 20
    assert [line.strip() for line in page("results-and-errors").splitlines() if "──" in line] == tree


def test_the_pages_import_from_public_places_only() -> None:
    text = GUIDE + (DOCS / "tutorial.md").read_text() + (DOCS.parent / "README.md").read_text()
    imported = set(re.findall(r"^(?:from|import) (flujo[\w.]*)", text, flags=re.MULTILINE))
    assert imported <= PUBLIC

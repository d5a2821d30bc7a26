"""Requests as forms, and forms as decisions."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from mcp_types import ElicitResult

from flujo import Approval
from flujo.errors import AnswerRejected
from flujo.server import mcp_asking as asking


def request(schema: Any, *, kind: Any = "input", actions: Any = ("approve", "edit", "deny")) -> Approval:
    now = datetime(2026, 7, 28, tzinfo=UTC)
    return Approval("r:a", "r", "a", kind, "Sure?", {"x": 1}, schema, actions, now, None, "d" * 64)


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": "number", "minimum": 1}])
def test_a_simple_answer_is_a_field_of_its_own_kind(schema: dict[str, Any]) -> None:
    field = asking.form(request(schema))["properties"]["value"]
    assert field.items() >= schema.items()


@pytest.mark.parametrize(
    "schema",
    [{}, {"type": "object", "properties": {}}, {"type": "array"}, {"type": "integer", "enum": [1, 2]}],
)
def test_any_other_answer_is_the_text_of_its_json(schema: dict[str, Any]) -> None:
    asked = request(schema)
    assert asking.form(asked)["properties"]["value"]["type"] == "string"
    filled = ElicitResult(action="accept", content={"decision": "edit", "value": "[1, 2]"})
    decided = asking.decision(asked, filled, "mcp:me")
    assert decided is not None
    assert decided.value == [1, 2]


def test_what_cannot_be_edited_has_no_field_for_it() -> None:
    form = asking.form(request({}, actions=("deny", "approve")))
    assert form["properties"]["decision"]["enum"] == ["deny", "approve"]
    assert "value" not in form["properties"]


@pytest.mark.parametrize(
    "filled",
    [
        ElicitResult(action="decline"),
        ElicitResult(action="accept", content={"decision": "approve"}),
        ElicitResult(action="accept", content={"decision": "edit", "value": "x"}),
    ],
)
def test_a_decision_is_about_what_was_shown(filled: ElicitResult) -> None:
    decided = asking.decision(request({"type": "string"}), filled, "mcp:me")
    assert decided is not None
    assert (decided.digest, decided.actor, decided.channel) == ("d" * 64, "mcp:me", "mcp")


@pytest.mark.parametrize("content", [None, {}, {"decision": ""}, {"decision": "yes"}, {"decision": True}])
def test_a_form_without_a_decision_decides_nothing(content: Any) -> None:
    with pytest.raises(AnswerRejected, match="no decision was made"):
        asking.decision(request({}), ElicitResult(action="accept", content=content), "mcp:me")


def test_events_are_not_for_people() -> None:
    assert not asking.can_be_asked(request({}, kind="event"), "ada")
    assert asking.can_be_asked(request({}), "ada")


def test_nothing_that_is_shown_steers_a_terminal() -> None:
    odd = replace(request({}), prompt="Sure?\x1b[2J\u202e", subject="\x1b[2J")
    assert asking.message(odd).isprintable() or set(asking.message(odd)) & set("\x1b\u202e") == set()


def test_nobody_is_asked_twice_for_what_several_must_approve() -> None:
    halfway = replace(request({}), approvals=2, approved_by=("ada",))
    assert not asking.can_be_asked(halfway, "ada")
    assert asking.can_be_asked(halfway, "bob")

"""Scrubbing keeps types, follows marks and keys, and finds known values wherever they stand."""

from collections import OrderedDict, defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import pytest
from pydantic import BaseModel, RootModel
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from flujo.errors import ScrubError
from flujo.governance import PII, Finding, PIIScrubbingPolicy

POLICY = PIIScrubbingPolicy()
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Patient(BaseModel):
    who: Annotated[str, PII("name")]
    others: list[Annotated[str, PII("name")]] = []
    born: Annotated[date | None, PII("date")] = None
    note: str = ""
    code: Annotated[str, PII(None)] = ""


@dataclass(frozen=True, slots=True)
class Row:
    mail: str
    number: int


class Pair(NamedTuple):
    left: str
    right: int


def test_a_text() -> None:
    clean, findings = POLICY.scrub("Write to jane@example.com.")
    assert clean == "Write to [EMAIL]."
    assert [(one.start, one.end, one.entity) for one in findings] == [(9, 25, "email")]
    assert "jane" not in repr(findings)


def test_masks_tell_not_even_the_length() -> None:
    policy = PIIScrubbingPolicy(strategy="mask")
    assert policy.scrub("to jane@example.com")[0] == policy.scrub("to j@example.com")[0] == "to ********"


def test_what_holds_nothing_comes_back_itself() -> None:
    value: dict[str, Any] = {"a": [1, 2.5, None, True, "fine", ("x",)], "b": Patient(who="")}
    clean, findings = POLICY.scrub(value)
    assert clean is value
    assert findings == []


def test_a_model_by_its_marks() -> None:
    patient = Patient(
        who="María García López",
        others=["Jan Kowalski"],
        born=date(1985, 3, 12),
        note="Garcia called about Kowalskiego; GARCÍA LÓPEZ, María; M. López's; mgarcia; born 12/03/1985",
        code="jane@example.com",
    )
    clean, findings = POLICY.scrub(patient)
    assert clean == Patient(
        who="[NAME]",
        others=["[NAME]"],
        born=date(1, 1, 1),
        note="[NAME] called about [NAME]; [NAME]; [NAME]'s; [NAME]; born [DATE]",
        code="jane@example.com",
    )
    assert patient.who == "María García López"
    assert {one.path for one in findings} == {"who", "others[0]", "born", "note"}


TYPES: list[tuple[Any, Any]] = [
    (["a@b.co", 1], ["[EMAIL]", 1]),
    (("a@b.co",), ("[EMAIL]",)),
    ({"a@b.co"}, {"[EMAIL]"}),
    (frozenset({"a@b.co"}), frozenset({"[EMAIL]"})),
    (deque(["a@b.co"], 5), deque(["[EMAIL]"], 5)),
    (OrderedDict(x="a@b.co"), OrderedDict(x="[EMAIL]")),
    (defaultdict(list, x=["a@b.co"]), defaultdict(list, x=["[EMAIL]"])),
    (Pair("a@b.co", 2), Pair("[EMAIL]", 2)),
    (Row("a@b.co", 4111111111111111), Row("[EMAIL]", 0)),
    (RootModel[list[str]](["a@b.co"]), RootModel[list[str]](["[EMAIL]"])),
    (b"to a@b.co", b"to [EMAIL]"),
    ({"a@b.co": 1, "c@d.co": 2}, {"[EMAIL]": 1, "[EMAIL] 2": 2}),
    ({"ssn": 123456789, "balance": Decimal("1.50")}, {"ssn": 0, "balance": Decimal("1.50")}),
    ('{"user": {"patient_name": "Jo"}, "n": [1]}', '{"user": {"patient_name": "[NAME]"}, "n": [1]}'),
    ({"firstName": "Ada", "text": "Ada wrote"}, {"firstName": "[NAME]", "text": "[NAME] wrote"}),
]


@pytest.mark.parametrize(("value", "clean"), TYPES)
def test_every_type_comes_back(value: Any, clean: Any) -> None:
    given, findings = POLICY.scrub(value)
    assert given == clean
    assert type(given) is type(clean)
    assert findings


def test_a_history_of_messages() -> None:
    def history(text: str, card: str, phone: str) -> list[ModelMessage]:
        return [
            ModelRequest(parts=[UserPromptPart(f"I am {text}", timestamp=NOW)]),
            ModelResponse(
                parts=[
                    TextPart("ok"),
                    ToolCallPart("find", f'{{"card": "{card}"}}', "call_4111111111111111"),
                ],
                timestamp=NOW,
            ),
            ModelRequest(
                parts=[ToolReturnPart("find", {"phone": phone}, "call_4111111111111111", timestamp=NOW)]
            ),
        ]

    clean, findings = POLICY.scrub(history("jane@example.com", "4111 1111 1111 1111", "+49 151 23456789"))
    assert clean == history("[EMAIL]", "[CARD]", "[PHONE]")
    assert [one.path for one in findings] == [
        "[0].parts[0].content",
        "[1].parts[1].args.card",
        "[2].parts[0].content.phone",
    ]


def test_the_context_tells_names() -> None:
    clean, _ = POLICY.scrub("Lopez came", context=Patient(who="Ana López"))
    assert clean == "[NAME] came"
    assert POLICY.scrub("Lopez came")[0] == "Lopez came"


def test_too_deep_is_an_error_that_shows_no_value() -> None:
    deep: Any = "jane@example.com"
    for _ in range(200):
        deep = [deep]
    with pytest.raises(ScrubError, match="nested deeper than 100") as caught:
        POLICY.scrub(deep)
    assert "jane" not in str(caught.value)
    with pytest.raises(ScrubError, match="nested deeper"):
        POLICY.scrub("[" * 100_000 + "]" * 100_000)
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ScrubError, match="nested deeper"):
        POLICY.scrub(ring)


def test_what_cannot_be_looked_into_does_not_pass() -> None:
    class Opaque:
        text = "jane@example.com"

    with pytest.raises(ScrubError, match=r"Opaque at 'rows\[0\]' cannot be looked into"):
        POLICY.scrub({"rows": [Opaque()]})


def test_an_engine_may_find_in_any_order() -> None:
    class Odd:
        def find(self, text: str) -> list[Finding]:
            return [Finding(8, 11, "b", 0.5, "x"), Finding(0, 3, "a", 0.5, "x"), Finding(1, 2, "a", 0.4, "x")]

    assert PIIScrubbingPolicy(Odd()).scrub("one two three")[0] == "[A] two [B]ee"

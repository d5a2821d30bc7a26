"""Personal data where it is easily overlooked: hidden members, keys, old encodings, what is derived."""

from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, computed_field

from flujo.errors import ScrubError
from flujo.governance import PII, PIIScrubbingPolicy

POLICY = PIIScrubbingPolicy()
MAIL, CARD = "jane@example.com", 4111111111111111


class Visit(NamedTuple):
    who: Annotated[str, PII("name")]
    phone: str
    note: str
    code: Annotated[str, PII(None)] = ""


class Contact(BaseModel):
    mail: str

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def link(self) -> str:
        return f"mailto:{self.mail}"


class Marked(BaseModel):
    device: Annotated[UUID, PII("device")]
    folder: Annotated[PurePosixPath, PII("name")]
    photo: Annotated[bytes, PII("photo")]
    other: UUID


def scrubbed(value: Any) -> Any:
    clean, findings = POLICY.scrub(value)
    assert findings, "what is replaced without a finding is allowed by the policy"
    return clean


@pytest.mark.parametrize(
    "text",
    [
        f'{{"mail": "{MAIL}", "mail": "none"}}',
        f'[{{"inner": {{"mail": "{MAIL}", "mail": "none"}}}}]',
        f'{{"a": ["{MAIL}"], "a": ["{MAIL}"], "a": 1}}',
        '{"patient_name": "Zbigniew Qo", "patient_name": "[NAME]"}',
    ],
)
def test_members_that_others_of_the_same_name_hide_are_found(text: str) -> None:
    clean = scrubbed(text)
    assert MAIL not in clean
    assert "Zbigniew" not in clean


def test_json_with_such_members_and_nothing_personal_stays_as_it_is() -> None:
    text = '{"a": 1,  "a": 2}'
    assert POLICY.scrub(text) == (text, [])


@pytest.mark.parametrize(
    "key", [CARD, (MAIL, 1), MAIL.encode(), frozenset([MAIL]), Decimal(CARD), PurePosixPath(f"/mail/{MAIL}")]
)
def test_keys_of_every_type_are_searched(key: object) -> None:
    clean = scrubbed({key: "x"})
    assert list(clean.values()) == ["x"]
    assert MAIL not in repr(clean)
    assert str(CARD) not in repr(clean)
    assert type(next(iter(clean))) is type(key)


def test_keys_that_would_become_one_are_refused_rather_than_lost() -> None:
    with pytest.raises(ScrubError, match="two keys of a mapping"):
        POLICY.scrub({CARD: 1, 5555555555554444: 2})
    days = {date(2026, 1, 1): 1, date(2026, 1, 2): 2}
    assert POLICY.scrub(days)[0] is days


@pytest.mark.parametrize("number", [float(CARD), Decimal(CARD), CARD])
def test_numbers_are_searched_whatever_their_type(number: float | Decimal) -> None:
    clean = scrubbed([number])[0]
    assert clean == 0
    assert type(clean) is type(number)
    assert str(CARD) not in scrubbed(f"[{number}, 1.5]")


@pytest.mark.parametrize(
    "number", [12345678.5, float("inf"), float("nan"), Decimal("NaN"), Decimal("1e99999"), 2.0, 10**50]
)
def test_other_numbers_stay(number: float | Decimal) -> None:
    assert POLICY.scrub([number])[0][0] is number


@pytest.mark.parametrize("codec", ["latin-1", "cp1252", "utf-16", "utf-16-be"])
def test_bytes_are_searched_in_the_encodings_of_old_programs(codec: str) -> None:
    bom = b"\xfe\xff" if codec == "utf-16-be" else b""
    clean = scrubbed(bom + f"Frau Müller, {MAIL}, grüßt".encode(codec))
    read = "utf-16" if bom else codec
    assert clean.decode(read) == "Frau [NAME], [EMAIL], grüßt"


def test_bytes_that_are_no_text_stay_unless_they_are_marked() -> None:
    picture = b"\xff\xd8\xff\xe0\x00\x10JFIF" + MAIL.encode()
    assert POLICY.scrub(picture)[0] is picture


def test_a_named_tuple_is_marked_like_a_model() -> None:
    visit = scrubbed(Visit("Zbigniew Qo", "9", "Qo was here", "Zb. 7"))
    assert visit == Visit("[NAME]", "[PHONE]", "[NAME] was here", "Zb. 7")


def test_what_a_model_remembers_to_have_derived_is_derived_anew() -> None:
    contact = Contact(mail=MAIL)
    assert contact.link == f"mailto:{MAIL}"
    assert scrubbed(contact).model_dump() == {"mail": "[EMAIL]", "link": "mailto:[EMAIL]"}
    assert contact.link == f"mailto:{MAIL}"


def test_marked_fields_are_replaced_whatever_they_hold() -> None:
    known = UUID("0190a9b2-1111-7000-8000-000000000001")
    value = Marked(device=known, folder=PurePosixPath("/home/zbig"), photo=b"\xff\x00", other=known)
    clean = scrubbed(value)
    assert (clean.device, clean.folder, clean.photo) == (UUID(int=0), PurePosixPath("[NAME]"), b"")
    assert clean.other == known
    only = Marked(device=UUID(int=0), folder=PurePosixPath("[NAME]"), photo=b"\xff\x00", other=known)
    assert scrubbed(only).photo == b""

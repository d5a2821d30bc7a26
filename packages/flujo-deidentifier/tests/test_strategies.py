"""What stands in the place of a value: consistent in its scope, of its kind, and nothing of the value."""

import re
import secrets
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from stdnum import iban, luhn

from flujo import Flujo, PipelineContext, Step
from flujo.errors import ScrubError, StepFailed
from flujo.governance import PII, Finding, PIIScrubbingPolicy
from flujo_deidentifier import GDPR, SAFE_HARBOR, Deidentify, Keys, MemoryVault, Profile
from flujo_deidentifier.dates import shifted, year_of
from flujo_deidentifier.surrogates import surrogate
from flujo_deidentifier.treat import Place, Treatment, named

KEYS = Keys({"k1": bytes(range(32))})
TODAY = date(2026, 6, 1)
MADE_UP = Profile("made_up", {}, otherwise="surrogate")
VALUES = {
    "name": ("John Smith", "Zoë Łęcka", "JANE", "van der Berg", "J. Smith"),
    "email": ("jane.roe@example.org", "a@b.cd"),
    "phone": ("+44 20 7946 0958", "(212) 555-0147", "0151 2345678", "+1-212-555-0147", "12125550147"),
    "ssn": ("078-05-1120", "078051120"),
    "card": ("4111 1111 1111 1111", "378282246310005"),
    "iban": ("DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819"),
    "ip": ("192.168.0.17", "2001:db8::17", "10.0.0.1"),
    "mac": ("00:1b:44:11:3a:b7", "00-1B-44-11-3A-B7"),
    "url": ("https://example.com/u/17",),
    "address": ("12 Elm Street", "Springfield"),
    "mrn": ("A-1234567", "84736251"),
    "national_id": ("943 476 5919",),
}


def treatment(profile: Profile, scope: str = "run:1", subject: str = "17", **settings: Any) -> Treatment:
    return Treatment(profile, KEYS, Place(scope, subject, TODAY), **settings)


def run(value: Any, profile: Profile, kind: Any = str, **settings: Any) -> Any:
    step = Step(Deidentify(kind, profile, keys=KEYS, vault=MemoryVault(), today=TODAY, **settings))
    result = Flujo(step).run(value)
    assert result.error is None, result.error
    return result.output


@pytest.mark.parametrize(
    ("entity", "value"), [(kind, one) for kind, several in VALUES.items() for one in several]
)
def test_a_surrogate_is_of_its_kind_and_never_the_value(entity: str, value: str) -> None:
    made = treatment(MADE_UP).text(entity, value)
    assert made == treatment(MADE_UP).text(entity, value)
    assert made != treatment(MADE_UP, scope="run:2").text(entity, value)
    assert made.casefold() != value.casefold()
    assert not made.startswith("[")
    if entity not in ("email", "ip", "url", "address", "name", "mac"):
        assert re.sub(r"[0-9]", "0", made) == re.sub(r"[0-9]", "0", value) or entity in ("mrn", "iban")
    match entity:
        case "card":
            assert luhn.is_valid(re.sub(r"\D", "", made))
        case "iban":
            assert iban.is_valid(made, check_country=False)
        case "ssn":
            assert re.sub(r"\D", "", made)[3:5] == "00"
        case "ip":
            assert made.startswith(("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:"))
        case "email":
            assert re.fullmatch(r"[a-z]+\.[a-z]+\d{4}@example\.(com|net|org)", made)
        case _:
            pass


def test_numbers_of_north_america_are_nobody_s() -> None:
    for value in VALUES["phone"][1:2] + VALUES["phone"][3:]:
        assert re.search(r"55501\d\d$", re.sub(r"\D", "", treatment(MADE_UP).text("phone", value)))


@pytest.mark.parametrize("entity", ["secret", "photo", "biometric", "age"])
def test_nothing_is_made_up_for_what_should_not_be(entity: str) -> None:
    assert treatment(MADE_UP).text(entity, "correct-horse") == f"[{entity.upper()}]"


def test_who_is_called_by_a_part_of_a_name_is_called_by_the_same_part() -> None:
    made = treatment(MADE_UP)
    given_name, family = made.text("name", "John Smith").split()
    assert made.text("name", "Smith, John") == f"{family}, {given_name}"
    assert made.text("name", "SMITH") == family.upper()
    assert made.text("name", "smith") == family.lower()
    assert made.text("name", "John van der Smith") == f"{given_name} van der {family}"


def test_numbers_written_otherwise_have_one_surrogate() -> None:
    made = treatment(MADE_UP)
    assert re.sub(r"\D", "", made.text("card", "4111-1111-1111-1111")) == re.sub(
        r"\D", "", made.text("card", "4111 1111 1111 1111")
    )
    assert made.text("email", "Jane.Roe@example.org") == made.text("email", "jane.roe@example.org")


@given(st.sampled_from(sorted(VALUES)), st.text(max_size=20))
def test_any_text_has_a_surrogate(entity: str, value: str) -> None:
    made = surrogate(entity, value, lambda text: KEYS.mac("surrogate", text.encode("utf-8", "surrogatepass")))
    assert made is None or made.casefold() != value.casefold() or not any(map(str.isalnum, value))


def test_hashes_and_masks() -> None:
    hashing = treatment(Profile("hashing", {}, otherwise="hash"))
    told = hashing.text("email", "jane@example.com")
    assert re.fullmatch(r"\[EMAIL#[0-9a-f]{16}\]", told)
    assert told == hashing.text("email", "jane@example.com")
    others = {
        hashing.text("name", "jane@example.com")[-17:],
        treatment(hashing.profile, scope="run:2").text("email", "jane@example.com")[-17:],
        Treatment(hashing.profile, Keys({"k1": secrets.token_bytes(32)}), hashing.place).text(
            "email", "jane@example.com"
        )[-17:],
    }
    assert len({told[-17:], *others}) == 4
    masking = treatment(Profile("masking", {}, otherwise="mask"))
    assert masking.text("name", "Jo") == masking.text("name", "Joanna Longname") == "********"


# Dates


@pytest.mark.parametrize(
    ("text", "day_first", "said"),
    [
        ("2024-02-25", False, "2024-03-06"),
        ("2024/2/5", False, "2024/2/15"),
        ("2024-02-25T14:30:00Z", False, "2024-03-06T14:30:00Z"),
        ("12/25/2024", False, "01/04/2025"),
        ("25/12/2024", False, "04/01/2025"),
        ("03/04/2025", False, "03/14/2025"),
        ("03/04/2025", True, "13/04/2025"),
        ("3.4.2025", False, "13.4.2025"),
        ("3. 4. 2025", False, "13. 4. 2025"),
        ("12/25/87", False, "01/04/88"),
        ("3 March 1987", False, "13 March 1987"),
        ("25th of December 1987", False, "4th of January 1988"),
        ("Dec. 25, 1987", False, "Jan. 4, 1988"),
        ("DECEMBER 25, 1987", False, "JANUARY 4, 1988"),
        ("March 21st, 1987", False, "March 31st, 1987"),
        ("Sept 21 1987", False, "Oct 1 1987"),
        ("31 février 1987", False, None),
        ("31/31/2024", False, None),
        ("9999-12-30", False, None),
        ("March 1987", False, None),
        ("1987年3月4日", False, None),
        ("", False, None),
    ],
)
def test_a_date_is_moved_and_written_as_it_was(text: str, day_first: bool, said: str | None) -> None:
    assert shifted(text, 10, TODAY, day_first=day_first) == said


@given(
    st.dates(date(1950, 1, 1), date(2100, 1, 1)),
    st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%B %d, %Y"]),
    st.integers(-365, 365),
)
def test_intervals_stay(day: date, how: str, days: int) -> None:
    moved = shifted(day.strftime(how), days, TODAY, day_first=True)
    assert moved is not None
    assert datetime.strptime(moved, how).date() - day == timedelta(days=days)  # noqa: DTZ007


@pytest.mark.parametrize(
    ("text", "year"),
    [
        ("3 March 1987", "1987"),
        ("12/25/87", "1987"),
        ("1/2/26", "2026"),
        ("1987年3月4日", "1987"),
        ("3 mars 1936", None),
        ("1937-01-01", "1937"),
        ("12 March", None),
        ("19870304", None),
        ("12/27", None),
    ],
)
def test_the_year_of_a_date(text: str, year: str | None) -> None:
    assert year_of(text, TODAY) == year


def test_the_dates_of_one_subject_are_moved_alike_and_of_others_otherwise() -> None:
    profile = SAFE_HARBOR.but(date="shift")
    days = {who: treatment(profile, subject=who).days for who in map(str, range(40))}
    assert len({*days.values()}) > 30
    assert all(0 < abs(one) <= 365 for one in days.values())
    assert treatment(profile, subject="1", scope="run:2").days == days["1"]
    assert treatment(profile, subject="1").day(date(2024, 1, 1), "date", "") == date(2024, 1, 1) + timedelta(
        days=days["1"]
    )


def test_a_date_that_cannot_be_read_is_removed() -> None:
    assert run("am 3. März 2024 gesehen", SAFE_HARBOR.but(date="shift")) == "am [DATE] gesehen"


# Types


class Typed(BaseModel):
    born: Annotated[date, PII("date")] = date(1980, 2, 3)
    at: Annotated[datetime, PII("date")] = datetime(2024, 5, 6, 7, 8)  # noqa: DTZ001
    mrn: Annotated[int, PII("mrn")] = 84736251
    weight: Annotated[float, PII("other")] = 71.5
    plain: int = 84736251
    free: date = date(2024, 1, 2)


@pytest.mark.parametrize("strategy", ["mask", "label", "hash", "generalise", "surrogate", "shift"])
def test_types_stay(strategy: Any) -> None:
    clean = run(Typed(), Profile("one", {}, otherwise=strategy), Typed)
    assert Typed.model_validate(clean.model_dump()) == clean
    assert clean.born != date(1980, 2, 3)
    assert clean.mrn != 84736251
    assert clean.weight != 71.5
    assert clean.free == date(2024, 1, 2)
    assert run(Typed(), Profile("none", {}, otherwise="keep"), Typed) == Typed()


@pytest.mark.parametrize("strategy", ["token", "encrypt"])
@pytest.mark.parametrize("kind", ["mrn", "date"])
def test_a_number_or_a_date_cannot_hold_a_token(strategy: Any, kind: str) -> None:
    profile = Profile("one", {kind: strategy})
    result = Flujo(Step(Deidentify(Typed, profile, keys=KEYS, vault=MemoryVault()))).run(Typed())
    assert isinstance(result.error, StepFailed)
    assert isinstance(result.error.__cause__, ScrubError)
    said = str(result.error)
    assert kind in said
    assert "84736251" not in said
    assert "1980" not in said


# What is known


class Care(PipelineContext):
    patient: Annotated[str, PII("name")] = "Kowalski"


def test_what_the_context_and_the_caller_know_is_found_in_texts() -> None:
    known = Deidentify(str, keys=KEYS, known={"name": ["María García"]})
    runner = Flujo(Step(known), context_model=Care)
    assert runner.run("kowalski met M. García").output == "[NAME] met [NAME]"


class Visit(BaseModel):
    patient: Annotated[str, PII("name")]
    note: str
    code: Annotated[str, PII(None)] = ""


def test_what_a_marked_field_holds_is_found_in_the_others() -> None:
    clean = run(
        Visit(patient="Jan Kowalski", note="Kowalskiego nie ma", code="Kowalski-17"), SAFE_HARBOR, Visit
    )
    assert clean == Visit(patient="[NAME]", note="[NAME] nie ma", code="Kowalski-17")


def test_what_keys_tell_in_json_is_found_and_the_rest_stays_byte_for_byte() -> None:
    text = '{ "patient_name":"Kowalski",\r\n  "note" : "kowalski \\u2014 ok", "n": 1.50 }'
    assert run(text, SAFE_HARBOR) == text.replace("Kowalski", "[NAME]").replace("kowalski", "[NAME]")
    assert PIIScrubbingPolicy().scrub(text)[0] != text


class Engine:
    def find(self, text: str) -> list[Finding]:
        at = text.find("Project Bluebird")
        return [Finding(at, at + 16, "Secret Project", 1.0, "mine")] if at >= 0 else []


def test_an_engine_of_one_s_own() -> None:
    assert run("see Project Bluebird", SAFE_HARBOR, engine=Engine()) == "see [SECRET_PROJECT]"
    assert run("see Project Bluebird", GDPR, engine=Engine()).startswith("see [SECRET_PROJECT:")
    assert [named(one) for one in ("email", "", "Ünïted", "a b-c", "9")] == [
        "email",
        "other",
        "n_ted",
        "a_b_c",
        "other",
    ]

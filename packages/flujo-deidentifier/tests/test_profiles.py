"""Each identifier that a law names is treated as the guide's tables say; each row names its test."""

import re
import secrets
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from flujo import Flujo, Step
from flujo.governance import ENTITIES, PII, Principal
from flujo_deidentifier import GDPR, PROFILES, SAFE_HARBOR, Deidentify, Keys, MemoryVault, Profile, Reidentify
from flujo_deidentifier.tokens import PATTERN

KEYS = Keys({"k1": secrets.token_bytes(32)})
ADA = Principal("ada", roles=("reidentify",))
TODAY = date(2026, 6, 1)
GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "deidentification.md"


def treated(value: Any, profile: Profile = SAFE_HARBOR, kind: Any = str) -> Any:
    """Return a value as a profile leaves it."""
    step = Step(Deidentify(kind, profile, keys=KEYS, vault=MemoryVault(), today=TODAY))
    result = Flujo(step).run(value)
    assert result.error is None, result.error
    return result.output


def removed(text: str, *values: str) -> str:
    """Return a text as Safe Harbor leaves it, in which none of the values stands any more."""
    clean = treated(text)
    assert [one for one in values if one in clean] == [], clean
    return clean


def kept_apart(text: str, *values: str) -> None:
    """Assert that the values are replaced by tokens, and come back byte for byte."""
    vault = MemoryVault()
    out = Step(Deidentify(str, GDPR, keys=KEYS, vault=vault, today=TODAY))
    back = Step(Reidentify(str, keys=KEYS, vault=vault))
    result = Flujo(out >> back).run(text, principal=ADA)
    assert result.error is None, result.error
    between = result.steps[0].output
    assert [one for one in values if one in between] == [], between
    assert PATTERN.search(between)
    assert result.output == text


# HIPAA's Safe Harbor: 45 CFR 164.514(b)(2)(i)


def test_names_are_removed() -> None:
    clean = removed("Mr John Smith came with Mrs Ana Lopez; Smith was ill.", "John", "Smith", "Ana", "Lopez")
    assert clean == "Mr [NAME] came with Mrs [NAME]; [NAME] was ill."


def test_places_are_removed_and_zip_codes_shortened() -> None:
    clean = removed(
        "He lives at 12 Elm Street, Springfield, IL 62704-1234.", "Elm", "Springfield", "62704", "1234"
    )
    assert "627" in clean
    assert removed("ZIP code: 10118", "10118").endswith("101")


SPARSE = [
    "03601", "05912", "06390", "10201", "20301", "55601", "69201", "79001", "82101", "82301",
    "83001", "83101", "87801", "87901", "88401", "89001", "89301",
]  # fmt: skip
"""By the census of 2000, as the Department of Health and Human Services lists them."""


@pytest.mark.parametrize("sparse", SPARSE)
def test_zip_codes_of_few_people_become_000(sparse: str) -> None:
    assert treated(f"ZIP code: {sparse}").endswith(" 000")
    assert treated({"zip": sparse}, kind=dict[str, str]) == {"zip": "000"}


def test_other_postcodes_are_removed() -> None:
    removed("75008 Paris, SW1A 1AA London, 10115 Berlin", "750", "SW1A", "101")


def test_dates_keep_their_year_and_old_ages_are_90() -> None:
    clean = removed(
        "Born 3 March 1987, admitted 2024-05-17 at 14:30, seen 12/31/2023, follow-up on May 5th, 2024.",
        "March", "05-17", "12/31", "May", "14:30",
    )  # fmt: skip
    assert clean == "Born 1987, admitted 2024, seen 2023, follow-up on 2024."
    assert treated("She is a 93 year old woman") == "She is a 90+ year old woman"
    assert treated("She is a 72 year old woman") == "She is a 72 year old woman"
    assert treated("Born on 3 March 1931") == "Born on [DATE]"  # its year tells of an age over 89


def test_telephone_numbers_are_removed() -> None:
    removed("Call (212) 555-0147 or +44 20 7946 0958", "555", "0147", "7946")


def test_fax_numbers_are_removed() -> None:
    removed("Fax: 212-555-0148", "555", "0148")


def test_email_addresses_are_removed() -> None:
    assert removed("Write to jane.roe@example.com", "jane", "example") == "Write to [EMAIL]"


def test_social_security_numbers_are_removed() -> None:
    assert removed("SSN 078-05-1120", "078", "1120") == "SSN [SSN]"


def test_medical_record_numbers_are_removed() -> None:
    removed("MRN: 84736251", "84736251")


def test_health_plan_numbers_are_removed() -> None:
    removed("Member ID: XYZ123456789", "XYZ123456789")


def test_account_numbers_are_removed() -> None:
    removed(
        "Account number 12345678, card 4111 1111 1111 1111, IBAN DE89 3704 0044 0532 0130 00",
        "12345678", "4111", "3704",
    )  # fmt: skip


def test_licenses_and_certificates_are_removed() -> None:
    removed("Driver's license: D1234567, NHS number 943 476 5919", "D1234567", "943")


def test_vehicles_are_removed() -> None:
    removed("VIN 1HGCM82633A004352, license plate: ABC-1234", "1HGCM82633A004352", "ABC-1234")


def test_devices_are_removed() -> None:
    removed("Device serial number: SN-48213377, MAC 00:1b:44:11:3a:b7", "48213377", "00:1b")


def test_urls_are_removed() -> None:
    removed("See https://example.com/patients/17", "example.com", "patients")


def test_ip_addresses_are_removed() -> None:
    removed("From 192.168.10.44 and 2001:db8::17", "192.168", "2001:db8")


class Biometrics(BaseModel):
    fingerprint: Annotated[str, PII("biometric")]
    voice: Annotated[bytes, PII("biometric")]


def test_biometric_identifiers_are_removed_where_they_are_marked() -> None:
    """No text tells a template of a finger from other figures: a field must say so."""
    clean = treated(Biometrics(fingerprint="7f3a99c1", voice=b"\xff\xfbRIFF"), kind=Biometrics)
    assert clean == Biometrics(fingerprint="[BIOMETRIC]", voice=b"")


class Chart(BaseModel):
    scan: bytes
    portrait: str
    note: str


def test_photographs_are_removed() -> None:
    chart = Chart(
        scan=b"\x89PNG\r\n\x1a\n\xff\xd8",
        portrait="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAE=",
        note="see ![face](data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ==) above",
    )
    clean = treated(chart, kind=Chart)
    assert clean == Chart(scan=b"", portrait="[PHOTO]", note="see ![face]([PHOTO]) above")


class Study(BaseModel):
    code: Annotated[str, PII("other")]
    tattoo: Annotated[str, PII("tattoo")]
    note: str


def test_other_unique_codes_are_removed() -> None:
    study = Study(
        code="TRIAL-0017-B", tattoo="a blue whale", note="TRIAL-0017-B; password=correct-horse-battery"
    )
    clean = treated(study, kind=Study)
    assert clean.code == "[OTHER]"
    assert clean.tattoo == "[TATTOO]"
    assert "TRIAL-0017-B" not in clean.note
    assert "correct-horse" not in clean.note


class Stay(BaseModel):
    admission_date: date
    seen: datetime
    age: int
    grandmother: Annotated[int, PII("age")] = 0
    zip: int = 62704
    ward: int = 12


def test_typed_dates_ages_and_numbers() -> None:
    """A field that is a date counts without any mark, and so does what is called an age."""
    stay = Stay(
        admission_date=date(2024, 5, 17),
        seen=datetime(2024, 5, 18, 9, 30, tzinfo=UTC),
        age=93,
        grandmother=104,
    )
    clean = treated(stay, kind=Stay)
    assert clean.admission_date == date(2024, 1, 1)
    assert clean.seen.date() == date(2024, 1, 1)
    assert (clean.seen.hour, clean.seen.minute) == (0, 0)
    assert (clean.age, clean.grandmother, clean.zip, clean.ward) == (90, 90, 627, 12)
    young = treated(stay.model_copy(update={"age": 41, "admission_date": date(1930, 1, 2)}), kind=Stay)
    assert young.age == 41
    assert young.admission_date == date(1, 1, 1)


# Pseudonymisation: Article 4(5) GDPR


def test_a_name_is_kept_apart() -> None:
    kept_apart("Frau Anna Schmidt war da.", "Anna", "Schmidt")


def test_an_identification_number_is_kept_apart() -> None:
    kept_apart(
        "Steuer-ID 86095742719, IBAN DE89 3704 0044 0532 0130 00, NHS number 943 476 5919",
        "86095742719", "3704", "943 476",
    )  # fmt: skip


def test_location_data_is_kept_apart() -> None:
    kept_apart("Sie wohnt: Hauptstraße 12, 10115 Berlin", "Hauptstraße", "10115")


def test_an_online_identifier_is_kept_apart() -> None:
    kept_apart(
        "192.168.10.44, 00:1b:44:11:3a:b7, https://example.com/u/17", "192.168", "00:1b", "example.com"
    )


def test_how_someone_is_reached_is_kept_apart() -> None:
    kept_apart("jane@example.com, +49 151 2345678", "jane", "2345678")


def test_other_factors_are_kept_apart() -> None:
    kept_apart("geboren am 3.3.1987, she is a 93 year old woman", "3.3.1987", "93")


def test_credentials_are_not_kept() -> None:
    text = "password=correct-horse-battery"
    assert "correct-horse" not in treated(text, GDPR)
    assert not PATTERN.search(treated(text, GDPR))


# The tables


def rows(profile: Profile) -> list[tuple[str, str, str, str]]:
    """Return the rows of a profile's table in the guide: key, identifier, how it is treated, test."""
    section = GUIDE.read_text(encoding="utf-8").partition(f'"{profile.name}"')[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table[0].splitlines()[2:]]
    return [(row[0], row[1], row[2], row[3]) for row in cells]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_table_of_the_guide_says_what_the_code_does(profile: Profile) -> None:
    told = [(key, name, how) for key, name, how, _ in rows(profile)]
    assert told == [
        (one.key, one.name, ", ".join(f"`{entity}`: {profile.of(entity)}" for entity in one.entities))
        for one in profile.identifiers
    ]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_each_row_of_the_guide_names_a_test_of_its_own(profile: Profile) -> None:
    named = [test.strip("`") for *_, test in rows(profile)]
    assert [name for name in named if name not in globals()] == []
    assert len({*named}) == len(named)


def test_safe_harbor_has_the_eighteen() -> None:
    assert "".join(one.key for one in SAFE_HARBOR.identifiers) == "ABCDEFGHIJKLMNOPQR"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_each_kind_that_is_found_has_a_row(profile: Profile) -> None:
    rows = {entity for one in profile.identifiers for entity in one.entities}
    assert {*ENTITIES} - rows == set()
    assert "keep" not in {profile.otherwise, *profile.strategies.values()}

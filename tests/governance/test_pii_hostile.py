"""What is made to hurt: long strings, patterns that pump, what errors and reprs would show."""

import logging
import pickle
from time import process_time
from typing import Any

import pytest

from flujo.governance import KnownValues, PIIScrubbingPolicy, RuleEngine

ENGINE = RuleEngine(threshold=0)
KNOWN = KnownValues(
    {
        "name": ["Jan Kowalski", "María García López"],
        "phone": ["+48 600 100 200"],
        "account": ["12345678"],
        "iban": ["DE89370400440532013000"],
    }
)

PUMPED = [
    "a", "1", "A", " ", "1 ", "a ", "A ", "Aa ", "a.", "a-", "1-", "1.", "1/", "1,", "@", "a@", "a@b.",
    "(1", "+1 ", "%41", "%", "&#64;", "\\u0041", "://", "a://a", "www.", "-----BEGIN PRIVATE KEY-----",
    "eyJa.", "sk-", "Dr. ", "Dear ", "Patient: ", "password=", "key: a", "\n", "A,B ", "A-", "A'", "1a",
    "ab12 ", "deadbeef", "Bearer ", "\u200b", "a\u0435", "e\u0301", "12.3.", "1 may ", "May 1 ",
    "12 Baker ", "rue de ", "1 Street ", "Calle A ", "lives at A ", "DE89 3704 ", "plate A", "::", "1:",
    "ab:", "\u20ac1", "1 234 ", "1,234", "O0", "Jan Kowalski ", "Kowalski, ", "van der ", "A. ", "a_b",
    '"a":', '{"a":', "MRN 1", "tel 1 ", "zip 1", "a [at] b [dot] ", "http://a/", "\x00", "==",
]  # fmt: skip


def seconds(text: str) -> float:
    started = process_time()
    ENGINE.find(text)
    KNOWN.find(text)
    return process_time() - started


@pytest.mark.parametrize("unit", PUMPED)
def test_time_grows_as_the_text_does(unit: str) -> None:
    """Four times the text may take eight times as long on a busy machine, and never sixteen."""
    short, long = ((unit * (size // len(unit) + 1))[:size] for size in (5_000, 20_000))
    for _ in range(3):
        if seconds(long) < 8 * max(seconds(short), 0.004):
            return
    pytest.fail("a pattern is slower than the text is long")


def test_a_word_of_megabytes() -> None:
    text = "a" * 2_000_000 + " jane@example.com"
    assert PIIScrubbingPolicy(keys=False).scrub(text)[0].endswith("a [EMAIL]")


def test_nothing_found_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text = "jane@example.com, 4111 1111 1111 1111, Jan Kowalski"
    policy = PIIScrubbingPolicy(known=KNOWN)
    _, findings = policy.scrub({"note": text, "patient_name": "Jan Kowalski"})
    shown = f"{findings!r} {KNOWN!r} {policy!r} {vars(policy)!r} {caplog.text} {pickle.dumps(findings)!r}"
    for part in ("jane", "4111", "Kowalski"):
        assert part not in shown


@pytest.mark.parametrize("value", [{"a": object()}, [lambda: 1], {"deep": [[[[object()]]]]}])
def test_an_error_shows_a_place_and_no_value(value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be looked into") as caught:
        PIIScrubbingPolicy().scrub({"secret-of-jane@example.com": value})
    assert "jane" not in str(caught.value)


def test_findings_never_overlap_and_lie_within_the_text() -> None:
    for unit in PUMPED:
        text = unit * 40 + " Dr. Jan Kowalski, Tel. +48 600 100 200, jane@example.com " + unit * 3
        found = ENGINE.find(text)
        places = [place for one in found for place in (one.start, one.end)]
        assert places == sorted(places)
        assert all(0 <= one.start < one.end <= len(text) for one in found)

"""Presidio behind the same protocol, with every way out of the machine closed."""

import socket
from typing import Any

import pytest

from flujo.errors import ConfigError
from flujo.governance import PIIScrubbingPolicy, PresidioEngine
from flujo.governance.pii import presidio


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    tried: list[str] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        tried.append(repr(args))
        raise OSError("the network is closed")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    return tried


def test_it_works_without_a_model_and_without_a_network(no_network: list[str]) -> None:
    text = "Write to jane.doe@example.co.uk, card 4111 1111 1111 1111, phone (212) 555-0187"
    clean, findings = PIIScrubbingPolicy(PresidioEngine()).scrub(text)
    assert clean == "Write to [EMAIL], card [CARD], phone [PHONE]"
    assert {one.rule for one in findings} >= {"presidio.email_address", "presidio.credit_card"}
    assert no_network == []


def test_an_address_without_a_public_suffix_is_none(no_network: list[str]) -> None:
    found = PresidioEngine().find("mail jane@example.nosuchsuffix now")
    assert "email" not in [one.entity for one in found]
    assert no_network == []


def test_the_largest_installed_model_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    import spacy.util

    monkeypatch.setattr(
        spacy.util, "get_installed_models", lambda: ["de_core_news_lg", "en_core_web_sm", "en_core_web_lg"]
    )
    assert presidio.installed_model("en") == "en_core_web_lg"
    assert presidio.installed_model("fr") is None


def test_an_analyzer_of_one_s_own() -> None:
    class Result:
        start, end, entity_type, score = 3, 7, "PERSON", 0.9

    class Analyzer:
        def analyze(self, text: str, language: str) -> list[Result]:
            return [Result()]

    (finding,) = PresidioEngine(analyzer=Analyzer()).find("by Jane")
    assert (finding.entity, finding.rule) == ("name", "presidio.person")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(ConfigError, match="presidio-analyzer") as caught:
        PresidioEngine()
    assert "flujo[presidio]" in caught.value.fix
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(ConfigError, match="phonenumbers"):
        PIIScrubbingPolicy().scrub("call 030 123456789 or +49 30 1234567")

"""Presidio as an engine: with a language model where one is installed, and never online."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from flujo.governance.pii.extra import missing
from flujo.governance.pii.finding import Finding, settle

ENTITIES_OF_PRESIDIO = {
    "AGE": "age",
    "CREDIT_CARD": "card",
    "CRYPTO": "account",
    "DATE_TIME": "date",
    "EMAIL_ADDRESS": "email",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "LOCATION": "address",
    "MAC_ADDRESS": "mac",
    "MEDICAL_LICENSE": "license",
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "UK_DRIVING_LICENCE": "license",
    "UK_PASSPORT": "license",
    "UK_POSTCODE": "postcode",
    "UK_VEHICLE_REGISTRATION": "vehicle",
    "URL": "url",
    "US_BANK_NUMBER": "account",
    "US_DRIVER_LICENSE": "license",
    "US_ITIN": "national_id",
    "US_MBI": "health_plan",
    "US_NPI": "license",
    "US_PASSPORT": "license",
    "US_SSN": "ssn",
}
"""What Presidio's entities are called here; national numbers, of whatever country, are `national_id`."""


class _Result(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def entity_type(self) -> str: ...
    @property
    def score(self) -> float: ...


class Analyzer(Protocol):
    """What is asked of Presidio: its `AnalyzerEngine`, or one made like it."""

    def analyze(self, text: str, language: str) -> Iterable[_Result]:
        """Return what is found in a text."""
        ...


class PresidioEngine:
    """Finds personal data with Presidio, behind the same protocol as the engine of rules.

    Where a spaCy model of the language is installed, names and places are found by it; where none is,
    Presidio's patterns work alone. Nothing is downloaded, and no list of domains is fetched.

    Args:
        language: The language of the texts, such as ``en``.
        threshold: How sure a finding must be, from 0 to 1.
        analyzer: An `AnalyzerEngine` of your own, used as it is; left out, one is made.

    Raises:
        ConfigError: Presidio is not installed (the extra `presidio`).
    """

    def __init__(
        self, *, language: str = "en", threshold: float = 0.4, analyzer: Analyzer | None = None
    ) -> None:
        self._language = language
        self._threshold = threshold
        self._analyzer = analyzer or offline_analyzer(language)

    def find(self, text: str) -> Sequence[Finding]:
        """Return what Presidio finds, in order of place, without overlaps."""
        return settle(
            Finding(
                result.start,
                result.end,
                _entity(result.entity_type),
                result.score,
                f"presidio.{result.entity_type.lower()}",
            )
            for result in self._analyzer.analyze(text, self._language)
            if result.score >= self._threshold
        )


def _entity(kind: str) -> str:
    return ENTITIES_OF_PRESIDIO.get(kind) or ("national_id" if kind[2:3] == "_" else kind.lower())


def installed_model(language: str) -> str | None:
    """Return the largest spaCy model of a language that is installed, or None."""
    from spacy.util import get_installed_models

    named = [name for name in get_installed_models() if name.startswith(f"{language}_")]
    sizes = {"lg": 0, "trf": 1, "md": 2, "sm": 3}
    return min(named, key=lambda name: (sizes.get(name.rpartition("_")[2], 4), name), default=None)


def offline_analyzer(language: str) -> Analyzer:
    """Return Presidio's analyzer, made so that nothing in it reaches for the network.

    Raises:
        ConfigError: Presidio is not installed (the extra `presidio`).
    """
    try:
        import presidio_analyzer
    except ImportError as error:
        raise missing("presidio-analyzer", "presidio") from error
    from flujo.governance.pii.presidio_offline import OfflineEmailRecognizer, nlp_engine

    presidio: Any = presidio_analyzer
    engine = nlp_engine(language, installed_model(language))
    registry = presidio.RecognizerRegistry(supported_languages=[language])
    registry.load_predefined_recognizers(nlp_engine=engine, languages=[language])
    registry.remove_recognizer("EmailRecognizer")
    registry.add_recognizer(OfflineEmailRecognizer(supported_language=language))
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[language])

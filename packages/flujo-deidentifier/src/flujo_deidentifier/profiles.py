"""Profiles: what is done with each kind of personal data, and the two that the law describes.

Their tables stand in docs/guide/deidentification.md, and a test compares them with what is written here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Literal, get_args

from flujo.errors import PipelineError

Strategy = Literal["keep", "mask", "label", "hash", "generalise", "surrogate", "shift", "token", "encrypt"]
"""What may be done with personal data:

- ``keep``: nothing.
- ``mask``: asterisks, of one length.
- ``label``: what it was, as ``[EMAIL]``.
- ``hash``: what it was and a keyed digest, as ``[EMAIL#9f2c…]``: the same for the same value in a scope.
- ``generalise``: dates to the year, US ZIP codes to three figures, ages over 89 to ``90+``; else a label.
- ``surrogate``: something made up of the same kind, the same for the same value in a scope.
- ``shift``: dates moved by a number of days that is the same for one subject; else a label.
- ``token``: a random token, under which a vault keeps the value.
- ``encrypt``: a token that holds the value, encrypted.
"""
REVERSIBLE: frozenset[Strategy] = frozenset({"token", "encrypt"})
"""The strategies that can be undone."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """What a law names as identifying.

    Attributes:
        key: How the law counts it, such as ``A``.
        name: What it is, in the law's words.
        entities: The kinds of personal data that it is found as.
    """

    key: str
    name: str
    entities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """What is done with each kind of personal data.

    Attributes:
        name: What it is called.
        strategies: What is done, by kind of personal data (``email``, ``name``, …).
        otherwise: What is done with every other kind.
        binary: Whether bytes that are no text (pictures, voices, fingerprints) stay.
        every_date: Whether each typed date counts, also where no mark and no name of a field tells.
        identifiers: What the law names.
    """

    name: str
    strategies: Mapping[str, Strategy]
    otherwise: Strategy = "label"
    binary: bool = True
    every_date: bool = False
    identifiers: tuple[Identifier, ...] = ()

    def __post_init__(self) -> None:
        for entity, strategy in (*self.strategies.items(), ("otherwise", self.otherwise)):
            if strategy not in get_args(Strategy):
                raise PipelineError(
                    f"profile {self.name!r}, {entity}={strategy!r}",
                    fix=f"choose from {', '.join(get_args(Strategy))}",
                )
        object.__setattr__(self, "strategies", MappingProxyType(dict(self.strategies)))

    def but(self, called: str = "", /, **strategies: Strategy) -> "Profile":
        """Return a profile that does something else with some kinds: `SAFE_HARBOR.but(name="surrogate")`.

        Args:
            called: What it is called; the same name with ``+`` when left out.
            strategies: What is done, by kind; ``otherwise`` is what is done with every other kind.

        Raises:
            PipelineError: There is no such strategy.
        """
        others = {entity: strategy for entity, strategy in strategies.items() if entity != "otherwise"}
        return replace(
            self,
            name=called or f"{self.name}+",
            strategies={**self.strategies, **others},
            otherwise=strategies.get("otherwise", self.otherwise),
        )

    def of(self, entity: str) -> Strategy:
        """Return what is done with a kind of personal data."""
        return self.strategies.get(entity, self.otherwise)

    @property
    def reversible(self) -> Strategy | None:
        """How something is kept that is to come back as it was; None where nothing does."""
        used = {self.otherwise, *self.strategies.values()} & REVERSIBLE
        return "token" if "token" in used else "encrypt" if used else None

    @property
    def version(self) -> str:
        """What tells the profile from another."""
        told = (sorted(self.strategies.items()), self.otherwise, self.binary, self.every_date)
        return f"{self.name} {sha256(repr(told).encode()).hexdigest()[:12]}"


SAFE_HARBOR = Profile(
    name="hipaa_safe_harbor",
    strategies={"date": "generalise", "age": "generalise", "postcode": "generalise"},
    otherwise="label",
    binary=False,
    every_date=True,
    identifiers=(
        Identifier("A", "names", ("name",)),
        Identifier("B", "geographic subdivisions smaller than a state", ("address", "postcode")),
        Identifier("C", "elements of dates but the year; ages over 89", ("date", "age")),
        Identifier("D", "telephone numbers", ("phone",)),
        Identifier("E", "fax numbers", ("phone",)),
        Identifier("F", "e-mail addresses", ("email",)),
        Identifier("G", "social security numbers", ("ssn",)),
        Identifier("H", "medical record numbers", ("mrn",)),
        Identifier("I", "health plan beneficiary numbers", ("health_plan",)),
        Identifier("J", "account numbers", ("account", "card", "iban")),
        Identifier("K", "certificate and license numbers", ("license", "national_id")),
        Identifier("L", "vehicle identifiers, serial numbers and license plates", ("vehicle",)),
        Identifier("M", "device identifiers and serial numbers", ("device", "mac")),
        Identifier("N", "URLs", ("url",)),
        Identifier("O", "IP addresses", ("ip",)),
        Identifier("P", "biometric identifiers, finger and voice prints", ("biometric",)),
        Identifier("Q", "full-face photographs and comparable images", ("photo",)),
        Identifier("R", "any other unique identifying number, characteristic or code", ("secret", "other")),
    ),
)
"""The method of HIPAA's Safe Harbor, 45 CFR 164.514(b)(2): the eighteen identifiers are removed."""

GDPR = Profile(
    name="gdpr_pseudonymisation",
    strategies={"secret": "label"},
    otherwise="token",
    every_date=False,
    identifiers=(
        Identifier("name", "a name", ("name",)),
        Identifier(
            "number",
            "an identification number",
            ("national_id", "ssn", "license", "mrn", "health_plan", "account", "card", "iban", "vehicle"),
        ),
        Identifier("location", "location data", ("address", "postcode")),
        Identifier("online", "an online identifier", ("ip", "mac", "url", "device")),
        Identifier("contact", "how someone is reached", ("email", "phone")),
        Identifier("factor", "factors specific to someone's identity", ("date", "age", "photo", "other")),
        Identifier("secret", "credentials, which no vault should hold", ("secret",)),
    ),
)
"""Pseudonymisation in the sense of Article 4(5) GDPR: what identifies is kept apart, under tokens."""

PROFILES: Mapping[str, Profile] = MappingProxyType({one.name: one for one in (SAFE_HARBOR, GDPR)})
"""The profiles by name."""


def profile_of(given: Profile | str) -> Profile:
    """Return a profile, given as it is or by its name.

    Raises:
        PipelineError: There is no such profile.
    """
    if isinstance(given, Profile):
        return given
    if given not in PROFILES:
        raise PipelineError(f"there is no profile {given!r}", fix=f"choose from {', '.join(PROFILES)}")
    return PROFILES[given]

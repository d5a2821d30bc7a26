"""Policies of Cedar as one bundle: their texts, their rules, and the hash that tells them from others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic_core import from_json, to_json

from flujo.errors import ConfigError
from flujo.pipeline.policy import EVERYWHERE, OBLIGATIONS, Point

if TYPE_CHECKING:
    import cedarpy
ANNOTATIONS = ("id", "reason", "obligation", "description")
"""What may stand before a policy, as ``@id("…")``."""

OWN_OBLIGATIONS = frozenset({"warn", "redact"})
"""What a permit may oblige to besides what the engine knows: verdicts that Cedar has no word for."""

KNOWN_OBLIGATIONS = OBLIGATIONS | OWN_OBLIGATIONS
_FORMAT = "cedar/1"


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy of a bundle.

    Attributes:
        id: By its ``@id``, else its file and its place in it: ``pay.cedar#2``.
        file: The file that it stands in.
        permits: Whether it permits; otherwise it forbids.
        reason: By its ``@reason``.
        obligations: By its ``@obligation``, separated by commas.
    """

    id: str
    file: str
    permits: bool
    reason: str = ""
    obligations: tuple[str, ...] = ()


class Bundle:
    """Policies of Cedar that hold together.

    Attributes:
        files: Their texts, by name.
        rules: Every policy, by the name that Cedar gives it.
        content: What a journal keeps: the texts as JSON.
        version: The SHA-256 of that, in hex.

    Raises:
        ConfigError: A text is no Cedar, or holds what would not mean what it seems to.
    """

    def __init__(self, files: Mapping[str, str]) -> None:
        self.files = dict(sorted(files.items()))
        self.content = to_json({"format": _FORMAT, "files": self.files})
        self.version = sha256(self.content).hexdigest()
        cedar = cedar_module()
        rules: list[Rule] = []
        for name, text in self.files.items():
            rules += _rules(cedar, name, text)
        _check_ids(rules)
        self.rules: Mapping[str, Rule] = {f"policy{at}": rule for at, rule in enumerate(rules)}

    @property
    def named_points(self) -> frozenset[Point]:
        """The points that its texts name."""
        return frozenset(
            point for point in EVERYWHERE if any(f'"{point}"' in text for text in self.files.values())
        )

    @staticmethod
    def read(source: str | Path | Mapping[str, str]) -> Bundle:
        """Return the bundle of a folder, of a file, of a text, or of texts by name.

        Raises:
            ConfigError: There is nothing, or it is no Cedar.
        """
        if isinstance(source, Mapping):
            return Bundle(source)
        if isinstance(source, str) and ("(" in source or "\n" in source):
            return Bundle({"policy.cedar": source})
        path = Path(source)
        try:
            found = sorted(path.rglob("*.cedar")) if path.is_dir() else [path]
            base = path if path.is_dir() else path.parent
            texts = {one.relative_to(base).as_posix(): one.read_text(encoding="utf-8") for one in found}
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"the policies {str(path)!r} cannot be read: {error}",
                fix="name a folder with .cedar files, one file, or pass their text",
            ) from error
        if not texts:
            raise ConfigError(
                f"the folder {str(path)!r} holds no .cedar file", fix="write one, or name another"
            )
        return Bundle(texts)

    @staticmethod
    def recorded(content: bytes) -> Bundle:
        """Return a bundle as a journal kept it.

        Raises:
            ConfigError: This version of Flujo cannot read it.
        """
        found = cast("dict[str, Any]", from_json(content))
        if found.get("format") != _FORMAT:
            raise ConfigError(
                f"a bundle of policies of the format {found.get('format')!r}", fix="update flujo"
            )
        return Bundle(found["files"])

    @property
    def text(self) -> str:
        """All texts in one, in the order of the rules."""
        return "\n".join(self.files.values())

    @cached_property
    def parsed(self) -> cedarpy.PolicySet:
        """What Cedar evaluates."""
        return cedar_module().PolicySet.from_str(self.text)

    @cached_property
    def mentions(self) -> frozenset[str] | None:
        """The members of ``context`` that the policies look at; None where they look at it as a whole."""
        tree = from_json(cedar_module().policies_to_json_str(self.text))
        found: set[str] = set()
        whole = not _look([rule["conditions"] for rule in tree["staticPolicies"].values()], found)
        return None if whole else frozenset(found)


def cedar_module() -> Any:
    """Return the package that evaluates Cedar.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import cedarpy
    except ImportError as error:
        raise ConfigError(
            "policies in Cedar need the package cedarpy", fix="install it: pip install 'flujo[cedar]'"
        ) from error
    return cedarpy


def _rules(cedar: Any, name: str, text: str) -> Iterator[Rule]:
    try:
        tree: dict[str, Any] = from_json(cedar.policies_to_json_str(text))
    except ValueError as error:
        raise ConfigError(f"{name} is no Cedar: {error}", fix="mend the text where it says") from error
    if tree["templates"]:
        raise ConfigError(f"{name} holds a template, which never matches", fix="write its policies out")
    written = sorted(tree["staticPolicies"].items(), key=lambda pair: int(pair[0].removeprefix("policy")))
    for at, (_, policy) in enumerate(written, 1):
        yield _rule(policy, name, f"{name}#{at}")


def _rule(policy: Mapping[str, Any], file: str, place: str) -> Rule:
    said = {name: text or "" for name, text in policy.get("annotations", {}).items()}
    unknown = sorted(set(said) - set(ANNOTATIONS))
    if unknown:  # a misspelt obligation would be none
        raise ConfigError(
            f"{place}: @{unknown[0]}(…) means nothing here", fix=f"use @{', @'.join(ANNOTATIONS)}"
        )
    permits = policy["effect"] == "permit"
    if not permits and "obligation" in said:
        raise ConfigError(
            f"{place}: a forbid cannot oblige to anything: it denies",
            fix='write it as a permit with the obligation: @obligation("approve") permit (…)',
        )
    obligations = tuple(one.strip() for one in said["obligation"].split(",")) if "obligation" in said else ()
    return Rule(said.get("id") or place, file, permits, said.get("reason", ""), obligations)


def _check_ids(rules: list[Rule]) -> None:
    seen: dict[str, Rule] = {}
    for rule in rules:
        if rule.id in seen:
            raise ConfigError(
                f"{rule.file}: @id({rule.id!r}) stands in {seen[rule.id].file}, too", fix="give each its own"
            )
        seen[rule.id] = rule


def _look(node: Any, found: set[str]) -> bool:
    """Collect which members of ``context`` an expression names; say whether those are all it can look at."""
    if isinstance(node, list):
        return all(_look(part, found) for part in cast("list[Any]", node))
    if not isinstance(node, dict):
        return True
    parts = cast("dict[str, Any]", node)
    if parts.get("Var") == "context":
        return False
    if parts.get("left") == {"Var": "context"} and isinstance(parts.get("attr"), str):
        found.add(parts["attr"])
        return True
    return all(_look(part, found) for part in parts.values())

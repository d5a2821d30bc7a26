"""Walks through values: one that takes personal data out, in two passes, and one that puts it back."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from flujo.governance.pii import (
    Date,
    Finding,
    KnownValues,
    Number,
    PIIEngine,
    Scrubber,
    bytes_of,
    of_key,
    rewritten,
    text_of,
)
from flujo_deidentifier.errors import DamagedToken
from flujo_deidentifier.photos import photos
from flujo_deidentifier.tokens import LITERAL, PATTERN, Token, random_token, sealed_token, token_of
from flujo_deidentifier.treat import Treatment, named

T = TypeVar("T")
Pair = tuple[str, str]
"""An entity and a value."""
_AGES = frozenset({"age", "patientage", "alter", "edad", "eta"})


class Finder:
    """Finds personal data, and pictures written into texts.

    Args:
        engine: What finds personal data.
    """

    def __init__(self, engine: PIIEngine) -> None:
        self._engine = engine

    def find(self, text: str) -> list[Finding]:
        """Return what is found, overlaps included."""
        return [*self._engine.find(text), *photos(text)]


class Deidentifying:
    """One value that personal data is taken out of.

    The first pass finds out which tokens are needed; when they are there, the second writes them.

    Args:
        scrubber: What finds personal data.
        treatment: What stands for it.
        known: Values known to be personal.
        depth: How deep values may be nested.
    """

    json = False  # a text comes back byte for byte: it is never written anew

    def __init__(
        self, scrubber: Scrubber, treatment: Treatment, known: KnownValues, *, depth: int = 100
    ) -> None:
        self._scrubber = scrubber
        self._treat = treatment
        self._profile = treatment.profile
        self._known = known
        self._depth = depth
        self._found: dict[str, list[Finding]] = {}
        self._wanted: dict[Pair, None] = {}
        self._tokens: Mapping[Pair, str] = {}

    def survey(self, value: object) -> list[Pair]:
        """Return which values need a token of the vault."""
        self._known = self._known | self._scrubber.names_in(value)
        rewritten(value, self, depth=self._depth)
        return list(self._wanted)

    def finish(self, value: T, tokens: Mapping[Pair, str]) -> tuple[T, list[Finding]]:
        """Return the value without personal data, and what was found in it.

        Args:
            value: The value that was surveyed.
            tokens: The random parts of the tokens that it needs.
        """
        self._tokens = tokens
        return rewritten(value, self, depth=self._depth)

    def key(self, name: str) -> str | None:
        """See `Rewriter.key`."""
        if not self._scrubber.keys:
            return None
        plain = "".join(filter(str.isalpha, name)).casefold()
        return "age" if plain in _AGES else of_key(name)

    def find(self, text: str) -> Sequence[Finding]:
        """See `Rewriter.find`."""
        found = self._found.get(text)
        if found is None:
            known = self._known
            if text.lstrip()[:1] in ("{", "["):  # what keys in it tell counts, though it stays a text
                known = known | self._scrubber.names_in(_parsed(text))
            found = self._found[text] = self._scrubber.find(text, known=known)
        return found

    def text(self, text: str, found: Sequence[Finding]) -> str:
        """See `Rewriter.text`."""
        parts: list[str] = []
        made: set[int] = set()
        at = size = 0
        for finding in found:
            before = text[at : finding.start]
            instead, is_token = self._instead(finding.entity, text[finding.start : finding.end], finding.rule)
            size += len(before)
            if is_token:
                made.add(size)
            size += len(instead)
            parts += (before, instead)
            at = finding.end
        return self._guarded("".join((*parts, text[at:])) if parts else text, made)

    def whole(self, text: str, entity: str) -> str:
        """See `Rewriter.whole`."""
        instead, is_token = self._instead(entity, text, "field")
        return self._guarded(instead, {0} if is_token else set())

    def number(self, value: Number, entity: str, path: str) -> Number:
        """See `Rewriter.number`."""
        return self._treat.number(value, named(entity), path)

    def date(self, value: Date, entity: str | None, path: str) -> Date:
        """See `Rewriter.date`."""
        if entity is None and not self._profile.every_date:
            return value
        return self._treat.day(value, named(entity or "date"), path)

    def binary(self, value: bytes, entity: str | None) -> tuple[bytes, Sequence[Finding]]:
        """See `Rewriter.binary`."""
        if entity is not None or not self._profile.binary:
            return b"", [Finding(0, len(value), entity or "photo", 1.0, "field")] if value else ()
        text, codec = text_of(value)
        found = self.find(text) if text else ()
        return bytes_of(self.text(text, found), codec) if text else value, found

    def _instead(self, entity: str, value: str, rule: str) -> tuple[str, bool]:
        """Return what stands for a value, and whether that is a token."""
        entity = named(entity)
        match self._profile.of(entity):
            case "token":
                return self._random(entity, value), True
            case "encrypt":
                return self._sealed(entity, value), True
            case _:
                return self._treat.text(entity, value, rule), False

    def _random(self, entity: str, value: str) -> str:
        self._wanted[entity, value] = None
        return random_token(entity, self._tokens.get((entity, value), "0" * 10))

    def _sealed(self, entity: str, value: str) -> str:
        keys, scope = self._treat.keys, self._treat.place.scope
        sealed = keys.seal("encrypt", value.encode("utf-8", "surrogatepass"), scope.encode(), entity.encode())
        return sealed_token(entity, keys.active, sealed)

    def _guarded(self, text: str, made: set[int]) -> str:
        """Return a text in which nothing looks like a token but those that were made just now.

        What else does is kept as if it were personal: so it comes back as it was, and nobody has something
        put back that was never taken out here.
        """
        how = self._profile.reversible
        if how is None or "[" not in text:
            return text
        write = self._random if how == "token" else self._sealed
        return PATTERN.sub(
            lambda match: match[0] if match.start() in made else write(LITERAL, match[0]), text
        )


class Reidentifying:
    """One value that what was taken out is put back into.

    Args:
        entities: The kinds of personal data to put back; None for all.
        strict: Whether what looks like a token and is damaged is an error.
        depth: How deep values may be nested.
    """

    json = False

    def __init__(
        self, *, entities: frozenset[str] | None = None, strict: bool = True, depth: int = 100
    ) -> None:
        self._entities = entities
        self._strict = strict
        self._depth = depth
        self._values: Mapping[str, str] = {}
        self._tokens: dict[str, Token] = {}

    def survey(self, value: object) -> list[Token]:
        """Return the tokens that are to be opened.

        Raises:
            DamagedToken: One was changed.
        """
        rewritten(value, self, depth=self._depth)
        return list(self._tokens.values())

    def finish(self, value: T, values: Mapping[str, str]) -> T:
        """Return the value with what tokens stand for put back.

        Args:
            value: The value that was surveyed.
            values: What they stand for, by their text.
        """
        self._values = values
        return rewritten(value, self, depth=self._depth)[0]

    def key(self, name: str) -> str | None:
        """See `Rewriter.key`."""
        return None

    def find(self, text: str) -> Sequence[Finding]:
        """See `Rewriter.find`."""
        return ()

    def text(self, text: str, found: Sequence[Finding]) -> str:
        """See `Rewriter.text`."""
        return PATTERN.sub(self._opened, text) if "[" in text else text

    def whole(self, text: str, entity: str) -> str:
        """See `Rewriter.whole`."""
        return self.text(text, ())

    def number(self, value: Number, entity: str, path: str) -> Number:
        """See `Rewriter.number`."""
        return value

    def date(self, value: Date, entity: str | None, path: str) -> Date:
        """See `Rewriter.date`."""
        return value

    def binary(self, value: bytes, entity: str | None) -> tuple[bytes, Sequence[Finding]]:
        """See `Rewriter.binary`."""
        text, codec = text_of(value)
        return bytes_of(self.text(text, ()), codec) if text else value, ()

    def _opened(self, match: re.Match[str]) -> str:
        written = match[0]
        if written not in self._tokens and self._is_asked(match["entity"].lower()):
            try:
                self._tokens[written] = token_of(match)
            except DamagedToken:
                if self._strict:
                    raise
        return self._values.get(written, written)

    def _is_asked(self, entity: str) -> bool:
        return self._entities is None or entity in self._entities or entity == LITERAL


def _parsed(text: str) -> Any:
    """Return what JSON in a string holds; None where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

"""Scrubbing: personal data replaced in whatever value, which comes back with the same types."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

from flujo.governance.pii.fields import of_key
from flujo.governance.pii.finding import Finding, PIIEngine, settle
from flujo.governance.pii.known import KnownValues
from flujo.governance.pii.legacy import bytes_of, text_of
from flujo.governance.pii.named import field_of, named, told_fields, untold
from flujo.governance.pii.walk import Date, Number, replaced, rewritten

T = TypeVar("T")
Strategy = Literal["label", "mask"]

MASK = "*" * 8
"""What stands for a masked value; always of one length, which would tell as well."""


class Scrubber:
    """Replaces personal data in values of any shape.

    Args:
        engine: Finds personal data in texts.
        strategy: What stands for what was found: `label` writes ``[EMAIL]``, `mask` writes asterisks.
        known: Values known to be personal, besides those that marked fields and telling keys name.
        keys: Whether keys such as ``patient_name`` and fields so named say what their values are.
        depth: How deep values may be nested, JSON in strings included.
    """

    def __init__(
        self,
        engine: PIIEngine,
        *,
        strategy: Strategy = "label",
        known: KnownValues | None = None,
        keys: bool = True,
        depth: int = 100,
    ) -> None:
        self.engine = engine
        self.strategy = strategy
        self.known = known or KnownValues()
        self.keys = keys
        self._of_key = of_key if keys else untold
        self.depth = depth

    def scrub(self, value: T, *, known: KnownValues | None = None) -> tuple[T, list[Finding]]:
        """Return the value without personal data, and what was found, in the order of the value.

        The value given is left as it is. What has nothing to replace comes back as the same object.

        Args:
            value: A string, bytes, a number, a date, a model, a dataclass, a mapping or a sequence of such.
            known: Values known to be personal, for this call.

        Raises:
            ScrubError: It is nested too deep, or holds an object that cannot be looked into.
        """
        told = self.known | (known or KnownValues()) | self.names_in(value)
        return rewritten(value, _Scrubbing(self, told), depth=self.depth)

    def find(self, text: str, *, known: KnownValues | None = None) -> list[Finding]:
        """Return what the engine and the known values find in a text."""
        told = self.known | known if known else self.known
        # An engine may be anybody's: what it finds may overlap, and stand in any order.
        return settle([*self.engine.find(text), *told.find(text)])

    def names_in(self, value: Any) -> KnownValues:
        """Return the values that marked fields and telling keys of a value name as personal."""
        values: dict[str, list[str]] = {}
        for entity, text in named(value, None, self._of_key, self.depth):
            if text not in (MASK, f"[{entity.upper()}]"):  # what stands for a value names nobody
                values.setdefault(entity, []).append(text)
        return KnownValues(values)

    def tells(self, value: Any, name: str) -> bool:
        """Say whether a field of a model names values as personal, or holds what does."""
        mark = dict(told_fields(value, self._of_key)).get(name)
        entity = None if mark is None else mark.entity
        return any(True for _ in named(field_of(value, name), entity, self._of_key, self.depth))

    def instead(self, entity: str) -> str:
        """Return what stands for a finding of an entity."""
        return MASK if self.strategy == "mask" else f"[{entity.upper()}]"

    def replace(self, text: str, findings: Iterable[Finding]) -> str:
        """Return the text with each finding replaced; findings in order of place."""
        return replaced(text, findings, self.instead)


class _Scrubbing:
    """What one walk of a scrubber asks."""

    json = True

    def __init__(self, scrubber: Scrubber, known: KnownValues) -> None:
        self._scrubber = scrubber
        self._known = known

    def key(self, name: str) -> str | None:
        return of_key(name) if self._scrubber.keys else None

    def find(self, text: str) -> list[Finding]:
        return self._scrubber.find(text, known=self._known)

    def text(self, text: str, found: Sequence[Finding]) -> str:
        return self._scrubber.replace(text, found)

    def whole(self, text: str, entity: str) -> str:
        return self._scrubber.instead(entity)

    def number(self, value: Number, entity: str, path: str) -> Number:
        return type(value)(0)

    def date(self, value: Date, entity: str | None, path: str) -> Date:
        # A date of no marked field is data, not text.
        return value.replace(year=1, month=1, day=1) if entity else value

    def binary(self, value: bytes, entity: str | None) -> tuple[bytes, Sequence[Finding]]:
        if entity:
            return b"", [Finding(0, len(value), entity, 1.0, "field")]
        text, codec = text_of(value)
        found = self.find(text) if text else ()
        return bytes_of(self.text(text, found), codec) if found else value, found

"""The words by which rules read a text, from `words.toml`."""

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files


@cache
def _tables() -> dict[str, dict[str, str]]:
    source = files("flujo.governance.pii").joinpath("words.toml").read_text(encoding="utf-8")
    return tomllib.loads(source)


def table(section: str) -> dict[str, list[str]]:
    """Return all lists of a section, by name."""
    return {
        name: [word.replace("_", " ") for word in listed.split()]
        for name, listed in _tables()[section].items()
    }


def words(section: str, name: str) -> frozenset[str]:
    """Return one list of words."""
    return frozenset(table(section)[name])


def any_of(several: Iterable[str], *, either_case: bool = False) -> str:
    """Return a pattern for any of some words, the longest first; their first letter in `either_case`."""
    ordered = sorted(several, key=lambda word: (-len(word), word))
    if not either_case:
        return "|".join(map(re.escape, ordered))
    return "|".join(f"[{word[0].upper()}{word[0].lower()}]{re.escape(word[1:])}" for word in ordered)


def by_first_word(phrases: Iterable[str]) -> dict[str, list[str]]:
    """Return phrases by their first word, in small letters: a text is asked once for each of its words."""
    grouped: dict[str, list[str]] = {}
    for phrase in phrases:
        first = _FIRST.search(phrase)
        if first:
            grouped.setdefault(first[0].casefold(), []).append(phrase)
    return grouped


_FIRST = re.compile(r"[^\W_]+")

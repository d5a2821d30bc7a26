"""Known values: what is already known to be personal, found wherever it stands in a text.

A name is found in full, in part, turned round, with initials, inflected, in any case and without its
accents; a number in any grouping; an e-mail address by its local part too. All values together are one pass
over the text.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations

from flujo.governance.pii.finding import Finding, settle
from flujo.governance.pii.view import view_of
from flujo.governance.pii.words import words

_TOKEN = re.compile(r"[^\W_]+")
_GAP = re.compile(r"[\s,.'\"_/@+()&-]{0,4}")
_TURNED = ("name",)
_SPECIAL = str.maketrans(
    {"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i", "þ": "th", "ð": "d"}
)
_SPELLED = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa"})
_UNTOLD = words("known", "untold")
"""Parts of names that say nothing alone."""
_ALSO_WORDS = words("known", "also_words")
"""Names that are words as well: written small they may be just that."""
_ENDINGS = words("known", "endings")
_GENERIC = words("known", "generic")
_NUMBERS = frozenset(
    {
        "account",
        "card",
        "device",
        "health_plan",
        "iban",
        "license",
        "mac",
        "mrn",
        "national_id",
        "ssn",
        "vehicle",
    }
)
_EASTERN = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(slots=True)
class _Node:
    """One place in the tree of token sequences."""

    next: dict[str, "_Node"] = field(default_factory=dict["str", "_Node"])
    entity: str = ""
    rule: str = ""
    capital: bool = False


class KnownValues:
    """Personal values that are known already, as an engine that finds them in any text.

    What it holds is never shown, not even in its `repr`.

    Args:
        values: The values by entity, as `{"name": ["María García"], "phone": ["+34 600 000 001"]}`.
    """

    def __init__(self, values: Mapping[str, Iterable[str]] | None = None) -> None:
        self._values = frozenset(
            (entity, value.strip())
            for entity, several in (values or {}).items()
            for value in several
            if value.strip()
        )

    def __repr__(self) -> str:
        return f"KnownValues({len(self._values)} values)"

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, other: "KnownValues") -> "KnownValues":
        """Return both together."""
        if other._values <= self._values:
            return self
        if self._values <= other._values:
            return other  # and what it has made ready
        both = KnownValues()
        both._values = self._values | other._values
        return both

    def find(self, text: str) -> list[Finding]:
        """Return where the values stand in a text, in order of place, without overlaps."""
        if not self._values:
            return []
        view = view_of(text)
        found: list[Finding] = []
        for start, end, entity, rule in (*self._sequences(view.text), *self._written(view.text)):
            found.append(Finding(*view.span(start, end), entity, 1.0, rule))
        return settle(found)

    def _sequences(self, text: str) -> Iterator[tuple[int, int, str, str]]:
        """Walk the tokens of a text along the tree, always to the longest sequence."""
        root, vocabulary, stems = self._tree
        if not root.next:
            return
        tokens = list(_TOKEN.finditer(text))
        words = [vocabulary.get(token[0]) or _resolved(token[0], vocabulary, stems) for token in tokens]
        at = 0
        while at < len(tokens):
            node = root.next.get(words[at]) if words[at] else None
            best, after = None, at + 1
            reach = at
            while node:
                small = tokens[at][0][:1].islower()
                if node.entity and not (node.capital and small):
                    best, after = node, reach + 1
                reach += 1
                if reach >= len(tokens) or not _GAP.fullmatch(
                    text, tokens[reach - 1].end(), tokens[reach].start()
                ):
                    break
                node = node.next.get(words[reach]) if words[reach] else None
            if best:
                yield tokens[at].start(), tokens[after - 1].end(), best.entity, best.rule
            at = after

    def _written(self, text: str) -> Iterator[tuple[int, int, str, str]]:
        """Find numbers in any grouping, and what is written without spaces."""
        whole, tails, eastern = self._numbers
        if whole.next:
            tokens = list(_TOKEN.finditer(text))
            for at, token in enumerate(tokens):
                if token[0][0].lower() in whole.next and (found := _walked(whole, text, tokens, at)):
                    start = _with_prefix(text, token.start()) if found[1] == "phone" else token.start()
                    yield start, found[0], found[1], f"known.{found[1]}"
        for run in _FIGURES.finditer(text) if tails else ():
            tail = ""
            for group in _GROUP.finditer(text, run.start(), run.end()):
                tail = (tail + group[0])[-_TAIL:]
                if tail in tails:
                    yield _with_prefix(text, _before(text, group.end())), group.end(), "phone", "known.phone"
        for letter in _EASTERN.finditer(text) if eastern.next else ():
            node, at, last, entity = eastern, letter.start(), 0, ""
            while at < len(text) and (follows := node.next.get(text[at])):
                node, at = follows, at + 1
                last, entity = (at, node.entity) if node.entity else (last, entity)
            if last:
                yield letter.start(), last, entity, f"known.{entity}"

    @cached_property
    def _tree(self) -> tuple[_Node, dict[str, str], dict[str, str]]:
        """The sequences of all values, their words, and the stems that inflected words begin with."""
        root, vocabulary, stems = _Node(), dict[str, str](), dict[str, str]()
        for entity, value in sorted(self._values):
            for sequence, rule, capital in _forms(entity, value):
                node = root
                for word in sequence:
                    vocabulary[word] = word
                    node = node.next.setdefault(word, _Node())
                if not node.entity:
                    node.entity, node.rule = entity, rule
                    node.capital = capital or all(word in _ALSO_WORDS for word in sequence)
            if entity in _TURNED:
                for word in map(folded, _TOKEN.findall(value)):
                    if len(word) >= 3:
                        stems.update((stem, word) for stem in _stems(word))
        return root, vocabulary, stems

    @cached_property
    def _numbers(self) -> tuple[_Node, frozenset[str], _Node]:
        """The letters of all numbers, the last figures of telephones, and the letters of eastern names."""
        whole, eastern, tails = _Node(), _Node(), set[str]()
        for entity, value in sorted(self._values):
            plain = _SEPARATOR.sub("", view_of(value).text).casefold()
            if _EASTERN.search(value):
                for part in {plain, *(value.split() if entity in _TURNED else ())}:
                    if len(part) > 1:
                        _spell(eastern, part, entity)
            elif entity == "phone":
                figures = "".join(filter(str.isdecimal, plain))
                if len(figures) > _TAIL:
                    tails.add(figures[-_TAIL:])
                elif len(figures) >= 6:
                    _spell(whole, figures, entity)
                if len(figures) == 10 or (len(figures) == 11 and figures[0] == "1"):
                    _spell(whole, figures[-7:], entity)  # within the area it is dialled without its code
            elif entity in _NUMBERS and len(plain) >= 4:
                _spell(whole, plain, entity)
        return whole, frozenset(tails), eastern


def _spell(root: _Node, word: str, entity: str) -> None:
    node = root
    for letter in word[:80]:
        node = node.next.setdefault(letter, _Node())
    node.entity = node.entity or entity


def _walked(root: _Node, text: str, tokens: list[re.Match[str]], at: int) -> tuple[int, str] | None:
    """Return end and entity of the longest number that begins at a token and ends with one."""
    node, found = root, None
    for place in range(at, len(tokens)):
        for letter in tokens[place][0].casefold():
            follows = node.next.get(letter)
            if follows is None:
                return found
            node = follows
        end = tokens[place].end()
        if node.entity:
            found = (end, node.entity)
        if place + 1 < len(tokens) and not _JOINT.fullmatch(text, end, tokens[place + 1].start()):
            break
    return found


def folded(word: str) -> str:
    """Return a word without case and accents."""
    word = word.casefold()
    if word.isascii():
        return word
    word = word.translate(_SPECIAL)
    return "".join(mark for mark in unicodedata.normalize("NFD", word) if not unicodedata.combining(mark))


def _resolved(token: str, vocabulary: dict[str, str], stems: dict[str, str]) -> str:
    """Return the known word that a token is, perhaps inflected, or ''."""
    word = folded(token)
    if word in vocabulary:
        return word
    if token[:1].isupper():
        for size in range(1, 5):
            if len(word) - size < 3:
                break
            if word[:-size] in stems and word[-size:] in _ENDINGS:
                return stems[word[:-size]]
    return ""


def _stems(word: str) -> Iterator[str]:
    yield word
    if word[-1] in "aeiouyаеиоуыяьйаη":
        yield word[:-1]
    if word.endswith(("ek", "ec", "el", "er", "ok")) and len(word) > 4:
        yield word[:-2] + word[-1]
    if word.endswith(("ski", "cki", "dzki", "ský", "ий", "ый")):
        yield word[:-1]


def _forms(entity: str, value: str) -> Iterator[tuple[list[str], str, bool]]:
    """Yield the words that a value may be written as, with the rule and whether they need a capital."""
    tokens = [folded(token) for token in _TOKEN.findall(value)]
    spelled = [folded(token.casefold().translate(_SPELLED)) for token in _TOKEN.findall(value)]
    if not tokens:
        return
    if entity in _TURNED:
        yield from _name_forms(tokens)
        if spelled != tokens:
            yield from _name_forms(spelled)
        return
    if entity == "email":
        local = [folded(token) for token in _TOKEN.findall(value.partition("@")[0])]
        yield tokens, "known.email", False
        if len(local) > 1 or (local and len(local[0]) >= 5 and local[0] not in _GENERIC):
            yield local, "known.local_part", False
        return
    if entity == "date" and len(tokens) == 3 and all(token.isdecimal() for token in tokens):
        for order in permutations(tokens):
            yield list(order), "known.date", False
            yield [part.lstrip("0") or "0" for part in order], "known.date", False
        return
    if entity in _NUMBERS or entity == "phone":
        return
    yield tokens, f"known.{entity}", False
    parts = [[folded(token) for token in _TOKEN.findall(part)] for part in re.split(r"[,\n]", value)]
    for part in parts if entity == "address" and len(parts) > 1 else ():
        if len(part) > 1 or (part and len(part[0]) >= 4 and not part[0].isdecimal()):
            yield part, "known.address_part", len(part) == 1


def _name_forms(tokens: list[str]) -> Iterator[tuple[list[str], str, bool]]:
    told = [token for token in tokens if token not in _UNTOLD and len(token) > 1] or tokens
    if len(told) < len(tokens) > 2:
        yield [tokens[0][0], *tokens[1:]], "known.initials", True
        yield [*tokens[1:], tokens[0]], "known.turned", False
        yield tokens[1:], "known.part", False
    yield tokens, "known.name", len(tokens) == 1 and tokens[0] in _ALSO_WORDS
    yield told, "known.name", len(told) == 1 and told[0] in _ALSO_WORDS
    for cut in range(1, len(told)):
        given, family = told[:cut], told[cut:]
        initials = [word[0] for word in given]
        yield [*family, *given], "known.turned", False
        yield [given[0], *family], "known.short", False
        yield [given[0], family[0]], "known.short", False
        yield [*family, given[0]], "known.turned", False
        for some in (initials, initials[:1]):
            yield [*some, *family], "known.initials", True
            yield [*family, *some], "known.initials", True
            yield [*some, family[0]], "known.initials", True
            yield [*some, family[-1]], "known.initials", True
        for last in (family[0], family[-1]):
            for joined in (given[0] + last, given[0][0] + last, last + given[0][0], last + given[0]):
                if len(joined) >= 5:
                    yield [joined], "known.joined", False
    for word in told:
        if len(word) > 2 or (len(told) > 1 and len(word) == 2):
            yield [word], "known.part", word in _ALSO_WORDS or len(word) < 3


_JOINT = re.compile(r"[\s./()_:+-]{1,3}")
_FIGURES = re.compile(r"\d(?:[\s./()_:+-]{0,3}\d){5,}")
_GROUP = re.compile(r"\d+")
_TAIL = 8
"""How many of its last figures tell a telephone number: what stands before them is written in many ways."""
_SEPARATOR = re.compile(r"[\s./()_:+-]+")


def _with_prefix(text: str, at: int) -> int:
    """Return where a telephone number begins whose last figures stand at a place."""
    begin = at
    while begin > 0 and at - begin < 14 and text[begin - 1] in "0123456789+() ./-":
        begin -= 1
    while begin < at and not (text[begin].isdecimal() or text[begin] in "+("):
        begin += 1
    return begin


def _before(text: str, end: int) -> int:
    """Return where the last figures begin that make a telephone number's tail."""
    at, count = end, 0
    while count < _TAIL:
        at -= 1
        count += text[at].isdecimal()
    return at

"""Names of persons: what titles, greetings and labels announce, and what the gazetteer knows.

Rules do not find every bare name; what is known to be a name (`KnownValues`) or an engine with a language
model does.
"""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.known import KnownValues
from flujo.governance.pii.words import any_of, table

_PEOPLE = {name: frozenset(listed) for name, listed in table("people").items()}
_GIVEN, _SURNAMES, _ALSO_WORDS = _PEOPLE["given"], _PEOPLE["surnames"], _PEOPLE["also_words"]
_NOT_NAMES, _PLACES = _PEOPLE["not_names"], _PEOPLE["places"]

_CAPITAL = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻŁŃŅŇŐŒŔŘŚŞŠȘŢŤȚŪŮŰŲŹŻŽΑ-ΩΆ-ΏА-ЯЁЄІЇҐ"
_PARTICLE = (
    r"(?:van der|van den|van de|van|von der|von|zu|zum|vom|de la|de los"
    r"|de las|del|della|di|da|dos|das|do|du|des|de|la|le"
    r"|ter|ten|af|av|bin|ibn|al|el|y|e|und)"
)
_PART = (
    rf"(?:(?:Mc|Mac|O'|D'|d'|L'|De|Van|Le|La|Van de[nr]? |Van |De )?[{_CAPITAL}][^\W\d_]+"
    rf"(?:-[^\W\d_]+|'[^\W\d_]{{2,}})*"
    rf"|[{_CAPITAL}]\.(?:[ ]?[{_CAPITAL}]\.)?(?:-[{_CAPITAL}]\.)?|[{_CAPITAL}](?=[ ][{_CAPITAL}]))"
)
_NAME = re.compile(rf"{_PART}(?:[ ](?:{_PARTICLE}[ ])?{_PART}){{0,4}}")
_TURNED = re.compile(rf"{_PART}(?:[ ]{_PART})?,[ ]{_PART}(?:[ ]{_PART})?")
_SMALL = re.compile(r"([^\W\d_]{2,20})[ ]([^\W\d_]{2,24})(?![\w(\[=.])")
_SAINT = re.compile(r"(?:San|Santa|Santo|Saint|Sainte|Sankt|São|St\.?)[ -]\Z")
_OF_CODE = ("[", "(", "=", "_")
_ENDS = re.compile(r"\s*(?:\Z|[\n,;.)\"'|/\]}<])(?![\w(\[])|[ ](?:is|was|has|\()")
# Letters that have no capitals: Hebrew, Arabic, the scripts of India, Thai, Japanese, Chinese, Korean.
_EASTERN = r"[\u05d0-\u0e7f\u3040-\u9fff\uac00-\ud7af]+"
_CASELESS = re.compile(rf"{_EASTERN}(?:[ \u30fb]{_EASTERN}){{0,2}}")
_WORD = re.compile(r"[^\W_]+(?:'[^\W\d_]{3,})?")
_GIVEN_BEFORE = re.compile(rf"(?<![^\W_])[{_CAPITAL}](?:\.|[^\W\d_]{{1,20}})[ ]\Z")

# What may stand between an announcement and the name.
_TAILS = {
    "titles": (
        (
            r"(?:[ ]|(?<=\.))(?:(?:Dr|Prof|med|Ing|Dipl|Mag|h\.c|phil)(?:\."
            r"|(?=[ -]))[ -]?(?:med\.|phil\.)?[ ]?){0,3}"
        ),
        0.8,
    ),
    "labels": (
        r"(?:[\"']?[ ]?(?::|=|\t)[ ]{0,3}|[ ]-[ ]|[ ](?:is|was|ist|est|es|è|named|called)[ ]|,[ ])[\"']?",
        0.7,
    ),
    "greetings": (r"(?:,|!|:)?(?:[ ]|[ ]?\n{1,2}[ ]?)", 0.65),
    "phrases": (r"[ ]", 0.6),
}


def _announcements() -> dict[str, list[tuple[str, re.Pattern[str], float]]]:
    """Return what announces a name, by its first word: reading a text asks once for each word."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for rule in _TAILS:
        for phrase in _PEOPLE[rule]:
            first = _WORD.match(phrase)
            if first:
                grouped.setdefault((first[0].casefold(), rule), []).append(phrase)
    found: dict[str, list[tuple[str, re.Pattern[str], float]]] = {}
    for (first, rule), phrases in grouped.items():
        tail, score = _TAILS[rule]
        either = any_of(phrases, either_case=rule != "titles" or min(map(len, phrases)) > 4)
        upper = any_of([phrase.upper() for phrase in phrases]) if rule in ("labels", "titles") else either
        pattern = re.compile(rf"(?:{either}|{upper}){tail}")
        found.setdefault(first, []).append((rule, pattern, score))
    return found


FEW = 20
"""So many names are looked up one by one before a search is made ready for them."""
SURE = 0.6
"""How sure a name is that is looked for again."""
_ANNOUNCED = _announcements()
_FOLLOWERS = {_WORD.findall(phrase)[0].casefold(): phrase for phrase in _PEOPLE["followers"]}
_BEFORE_VERB = re.compile(
    rf"(?<![^\W_])(?<![^\W_][ ])({_PART}(?:[ ](?:{_PARTICLE}[ ])?{_PART}){{1,3}})(?:[ ]|,[ ]|[ ]\()\Z"
)


def names(text: str) -> Iterator[Finding]:
    """Find names of persons by what announces them, and by the gazetteer."""
    done = 0
    for match in _WORD.finditer(text):
        word = match[0].casefold()
        start = match.start()
        for rule, pattern, score in _ANNOUNCED.get(word, ()):
            announced = pattern.match(text, start)
            end = announced and _name_end(text, announced.end(), rule)
            if announced and end:
                yield Finding(announced.end(), end, "name", score, f"name.{rule}")
        if word in _FOLLOWERS and text.startswith(_FOLLOWERS[word], start):
            before = _BEFORE_VERB.search(text, max(0, start - 64), start)
            whole = before is not None and _until(text, before.start(1), before.end(1)) == before.end(1)
            if before and whole and before[1].split()[-1].casefold() not in _PLACES:
                yield Finding(*before.span(1), "name", 0.6, "name.follower")
        if start < done or not match[0][0].isupper():
            continue
        if word in _GIVEN:
            end, score = _listed(text, start, match.end(), word)
            if score:
                done = end
                yield Finding(start, end, "name", score, "name.gazetteer")
        elif word in _SURNAMES:
            before = _GIVEN_BEFORE.search(text, max(0, start - 24), start)
            if before and before[0].strip(" .").casefold() not in _NOT_NAMES:
                yield Finding(before.start(), match.end(), "name", 0.55, "name.surname")


def again(text: str, found: list[Finding]) -> Iterator[Finding]:
    """Find names that were found already where they stand in other forms in the same text."""
    full = {text[one.start : one.end] for one in found if one.score >= SURE}
    full = {name for name in full if " " in name and not any(map(str.isdecimal, name))}
    if len(full) <= FEW:
        lowered = text.casefold()
        full = {name for name in full if any(lowered.count(part) > 1 for part in name.casefold().split())}
    for one in KnownValues({"name": full}).find(text) if full else ():
        if text[one.start].isupper() and text[one.start : one.end].casefold() not in _NOT_NAMES:
            yield Finding(one.start, one.end, "name", 0.55, "name.again")


def _name_end(text: str, at: int, rule: str) -> int | None:
    """Return where the name ends that stands at a place, without words that are no names."""
    match = _TURNED.match(text, at) if rule == "labels" else None
    if match and match[0].rpartition(" ")[2].isupper() and not match[0].isupper():
        match = None  # what follows the comma is an abbreviation
    match = (
        match
        or _NAME.match(text, at)
        or (_CASELESS.match(text, at) if rule in ("labels", "titles") else None)
    )
    if not match:
        small = _SMALL.match(text, at) if rule == "labels" else None
        listed = small and (small[1].casefold() in _GIVEN or small[2].casefold() in _SURNAMES)
        return small.end() if small and listed else None
    end = _until(text, at, match.end())
    parts = text[at:end].split()
    if not parts or (len(parts[0]) < 2 and len(parts) < 2):
        return None
    # After a mere word of the sentence, one capitalised word may be anything.
    if len(parts) > 1 or parts[0].casefold() in _GIVEN:
        return end if text[end : end + 1] not in _OF_CODE else None
    if rule == "phrases" or text[at - 2 : at] == ", ":
        return None
    return end if rule != "labels" or _ENDS.match(text, end) else None


def _until(text: str, start: int, end: int) -> int:
    """Return where a run of capitalised words stops being a name."""
    at = start
    several = text[start:end].split(" ")
    for place, word in enumerate(several):
        if not place and len(several) > 1 and word.casefold() in _GIVEN:
            at += len(word) + 1  # June, May and April are given names, too
            continue
        if len(word) != 2 and word.rstrip(",.").casefold() in _NOT_NAMES:
            return max(start, at - 1)
        at += len(word) + 1
    return end


def _listed(text: str, start: int, end: int, word: str) -> tuple[int, float]:
    """Return where a name ends that begins with a given name of the gazetteer, and how sure it is."""
    name = _NAME.match(text, start)
    if name and name.end() > end:
        until = _until(text, start, name.end())
        parts = text[start:until].split()
        if len(parts) > 1 and parts[-1].rstrip(".,").casefold() not in _PLACES:
            return until, 0.6
    alone = word not in _ALSO_WORDS and len(word) > 2 and not _SAINT.search(text, max(0, start - 8), start)
    return end, 0.5 if alone else 0.0

"""Street addresses: by the words around a house number, the words that begin a street, or a label."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.words import any_of, by_first_word, table, words

_SUFFIXES = words("streets", "english")
"""The words that end the name of a street in English: USPS Publication 28, and those of other countries."""
_ENGLISH = re.compile(
    r"\d(?<![\w.,:/-]\d)\d{0,5}[A-Za-z]?(?:[-/]\d{1,4}[A-Za-z]?)?,?[ ]"
    r"(?:(?:[NSEW]{1,2}|North|South|East|West)\.?[ ])?"
    r"(?P<w>(?:[A-Z][\w'.-]{0,24}|\d{1,3}(?:st|nd|rd|th)|of|the)(?:[ ]"
    r"(?:[A-Z][\w'.-]{0,24}|\d{1,3}(?:st|nd|rd|th)|of|the|and)){0,4})"
)
_UNIT = re.compile(
    r",?[ \n](?:(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room"
    r"|Rm|Piso|Appartamento|Interno|Int|Puerta|lok|m|kv|tr|Top|Etage"
    r"|Whg|bus|Hs|Nr|PO Box)\.?[ ]?#?\d{1,5}[A-Za-z]?[ºª°]?|#[ ]?\d{1,5})"
    r"(?!\w)"
)
_UNIT_BEFORE = re.compile(
    r"(?:Apt|Apartment|Flat|Unit|Suite|Studio|Room|Floor)\.?[ ]?\d{1,4}[A-Za-z]?,?[ \n]\Z"
)
_BOX = re.compile(
    r"P(?<!\w.)\.?[ ]?O\.?[ ]?Box[ ]\d{1,6}|Postfach[ ]\d[\d ]{1,8}"
    r"|(?:Boîte postale|B\.?P\.?)[ ]\d{2,6}(?=,?[ \n]\d{5})|Apartado(?: de correos)?[ ]\d{2,6}"
    r"|Casella postale[ ]\d{2,6}|(?:PSC|Unit)[ ]\d{3,5},?[ ]Box[ ]\d{2,6}",
    re.IGNORECASE,
)
_BOXES = ("Box", "BOX", "box", "ostfach", "POSTFACH", "postale", "BP", "B.P", "partado")
_UNNUMBERED_TYPES = ("rue", "avenue", "boulevard", "chemin", "impasse", "allée", "quai")
_FRENCH = re.compile(
    r"\d(?<![\w.,:/-]\d)\d{0,3}(?:[ ]?(?:bis|ter|quater|[A-D])\b)?,?[ ]"
    rf"(?:{any_of(table('streets')['french'], either_case=True)})[ ]"
    r"(?:(?:de la|de l'|des|du|de|d'|la|le|les|l'|aux|au|à la)[ ]?){0,2}"
    r"[^\W\d_][\w'-]*(?:[ ](?:de la|de|du|des|la|le|[A-ZÀ-Ý][\w'-]*)){0,4}"
)
_UNNUMBERED = re.compile(
    r"(?:rue|avenue|boulevard|chemin|impasse|allée|quai)[ ](?:(?:de la|de l'|des|du|de|d')[ ]?)?"
    r"[A-ZÀ-Ý][\w'-]+"
    r"(?:[ -](?:de la|de|du|des|[A-ZÀ-Ý][\w'-]*)){0,4}"
)
_LARGE = "A-ZÀ-ÝŁŚŻŹĆŃÓĘĄŠČŘŽА-ЯІЇЄ"
_REST_OF_STREET = (
    r"[ ]?(?:(?:de la|de los|de las|de|del|della|delle|dei|degli|di"
    r"|da|do|dos|das|la|el|los|las|gen\.|św\.|ks\.|[IVX]{1,5})[ ]){0,3}"
    rf"[{_LARGE}0-9][\w'.-]*(?:[ ](?:de la|de|del|della|di|da|do|dos|das|e|y|i|[{_LARGE}][\w'.-]*)){{0,5}}"
    r"(?:,?[ ](?:n\.?[ºo°]\.?|núm\.?|num\.?|[nN]r\.?|no\.|д\.|буд\."
    r"|s/n)?[ ]?\d{1,5}(?:[/-]\d{1,4})?[A-Za-z]?(?![\w.,]\d|\w))?"
)
_WORD = re.compile(r"[^\W_]+")


def _first_words() -> dict[str, re.Pattern[str]]:
    """Return what names of streets begin with, by its first word, in small letters."""
    listed = [spelled for phrase in table("streets")["first"] for spelled in (phrase, phrase.upper())]
    grouped = by_first_word(listed).items()
    return {word: re.compile(f"(?:{any_of(group)}){_REST_OF_STREET}") for word, group in grouped}


_FIRST = _first_words()
_RESIDING = {
    word: re.compile(rf"(?:{any_of(group, either_case=True)})(?::|=|[ ]is)?[ ]{{1,2}}")
    for word, group in by_first_word(table("people")["residing"]).items()
}
_RESIDENCE = re.compile(
    rf"(?:(?:[{_LARGE}Α-Ω][\w.'-]*|[a-z]{{1,5}}\.?)[ ]){{0,5}}[{_LARGE}Α-Ω\u05d0-\u05ea]"
    rf"[\w.'-]*,?[ ]\d{{1,5}}(?:[ ]?[/-][ ]?\d{{1,5}})?[A-Za-z]?"
    rf"(?![\w.,:/-]?\d|\w)|\d{{1,5}}[A-Za-z]?,?[ ](?:[{_LARGE}][\w.'-]*[ ]?){{1,4}}"
)
_HOUSE = re.compile(
    r"\d(?<=[^\W_][ ]\d|[.)][ ]\d)\d{0,3}(?:[ ]?[a-zA-Z](?![\w]))?"
    r"(?:[ ]?[-/][ ]?\d{1,4}[a-zA-Z]?)?(?!\w|[.,:/-]\d|[ ]?%|[ ]?°)"
)
_ENDINGS = tuple(words("streets", "endings"))
_BACK = re.compile(
    r"(?:(?:Am|An|Auf|In|Im|Zum|Zur|Unter|Alte[rsn]?|Neue[rsn]?|Große[rsn]?"
    r"|Kleine[rsn]?|Obere[rsn]?|Untere[rsn]?|Lange|Sankt|St\.|Hinter"
    r"|Vor|der|den|dem|die|de|het|van|von)[ ])*(?:[A-ZÀ-ÝŠČŽŘĐÅÄÖØ][\w.'-]*[ -]){0,2}[\w.'-]+\Z"
)
_PREPOSED = re.compile(
    r"(?<!\w)(?:Am|An der|An den|Auf der|Auf dem|In der|In den|Im|Zum"
    r"|Zur|Unter den|Unter der|Hinter der|Op de|Aan de|Vid)[ ](?:[A-ZÄÖÜ][\w-]{2,30})[ ]\Z"
)


def addresses(text: str) -> Iterator[Finding]:
    """Find streets with their house numbers, post boxes, and the places that stand with a postcode."""
    for match in _ENGLISH.finditer(text):
        end = _street_end(match)
        if end:
            start = match.start() - _before(text, match.start())
            yield Finding(start, _with_unit(text, end), "address", 0.75, "address.english")
    for match in _FRENCH.finditer(text):
        yield Finding(match.start(), _with_unit(text, match.end()), "address", 0.75, "address.french")
    yield from _announced(text)
    for match in _HOUSE.finditer(text):
        length = _street_before(text, match.start())
        if length:
            yield Finding(
                match.start() - length, _with_unit(text, match.end()), "address", 0.72, "address.number_last"
            )
    if any(word in text for word in _BOXES):
        for match in _BOX.finditer(text):
            yield Finding(match.start(), match.end(), "address", 0.7, "address.box")


def _announced(text: str) -> Iterator[Finding]:
    """Find streets by the words that begin them, and what is said to be an address."""
    for word in _WORD.finditer(text):
        first = word[0].casefold()
        pattern, residing = _FIRST.get(first), _RESIDING.get(first)
        match = pattern.match(text, word.start()) if pattern else None
        if not match and first in _UNNUMBERED_TYPES:
            pattern, match = _UNNUMBERED, _UNNUMBERED.match(text, word.start())
        if match and (pattern is _UNNUMBERED or any(map(str.isdecimal, match[0]))):
            yield Finding(
                match.start(), _with_unit(text, match.end()), "address", 0.72, "address.named_first"
            )
        said = residing.match(text, word.start()) if residing else None
        match = _RESIDENCE.match(text, said.end()) if said else None
        if match:
            yield Finding(match.start(), match.end(), "address", 0.58, "address.named")


def _street_end(match: re.Match[str]) -> int:
    """Return where the words after a house number end as a street does, or 0."""
    words = match["w"].split(" ")
    for count in range(len(words), 1, -1):
        last = words[count - 1].rstrip(".,")
        if last.lower() in _SUFFIXES or last.lower().removesuffix("s") in _SUFFIXES:
            taken = len(" ".join(words[:count]).rstrip(","))
            return match.start("w") + taken
    return 0


def _before(text: str, at: int) -> int:
    match = _UNIT_BEFORE.search(text[max(0, at - 24) : at])
    return len(match[0]) if match else 0


def _with_unit(text: str, end: int) -> int:
    match = _UNIT.match(text, end)
    return match.end() if match else end


def _street_before(text: str, at: int) -> int:
    """Return how many characters before a house number are the name of a street."""
    head = text[max(0, at - 72) : at]
    line = head[max(head.rfind("\n"), head.rfind(","), head.rfind(":"), head.rfind(";")) + 1 :]
    words = line[:-1]
    last = words[words.rfind(" ") + 1 :]
    folded = last.casefold()
    if folded.endswith(_ENDINGS) and (last[:1].isupper() or " " in words) and len(last) > 2:
        back = _BACK.search(words)
        taken = back[0].lstrip() if back else last
        if not taken[:1].isupper() or (folded in _PLAIN and taken == last):
            return 0
        return len(taken) + 1
    preposed = _PREPOSED.search(line)
    return len(preposed[0]) if preposed else 0


_PLAIN = words("streets", "plain")

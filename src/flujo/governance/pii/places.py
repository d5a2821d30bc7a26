"""Street addresses and postcodes, each from its number to the words around it."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import OTHER, label_before
from flujo.governance.pii.words import any_of, table, words

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
    """Return what names of streets begin with, by its first word as it is written."""
    grouped: dict[str, list[str]] = {}
    for phrase in table("streets")["first"]:
        for spelled in (phrase, phrase.upper()):
            grouped.setdefault(_WORD.findall(spelled)[0], []).append(spelled)
    patterns = {word: re.compile(f"(?:{any_of(group)}){_REST_OF_STREET}") for word, group in grouped.items()}
    return patterns | dict.fromkeys(
        ("rue", "avenue", "boulevard", "chemin", "impasse", "allée", "quai"), _UNNUMBERED
    )


_FIRST = _first_words()
_RESIDING = re.compile(
    rf"(?<![^\W_])(?:{any_of(table('people')['residing'], either_case=True)})(?::|=|[ ]is)?[ ]{{1,2}}"
)
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

_STATES = (
    "A[LKZR]|C[AOT]|D[EC]|FL|GA|HI|I[DLNA]|K[SY]|LA|M[EDAINSOT]|N[EVHJMYCD]"
    "|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[TA]|W[AVIY]"
    "|A[SEAP]|GU|MP|VI|FM|MH|PW"
)
_POSTCODES = (
    ("us", re.compile(rf"(?P<c>(?:[A-Z][\w.'-]{{1,20}}[ ]?){{1,3}},[ ]|(?<!\w))(?P<t>"
rf"(?:{_STATES})[ ,]{{1,2}})(?P<p>\d{{5}}(?:-\d{{4}})?)(?![\w]|-\d)")),
    ("us", re.compile(r"(?P<p>\d(?<![\w.,/-]\d)\d{4}-\d{4})(?![\w-])")),
    ("gb", re.compile(r"(?P<p>[A-Z](?<![\w/-].)(?:[A-Z]?\d{1,2}|[A-Z]?\d[A-Z]) \d[ABD-HJLNP-UW-Z]{2}"
r"|GIR ?0AA)(?![\w-])")),
    ("ca", re.compile(r"(?P<p>[A-CEGHJ-NPR-TVXY](?<![\w/-].)\d[A-CEGHJ-NPR-TV-Z][ -]?\d[A-CEGHJ-NPR-TV-Z]\d)"
r"(?![\w-])")),
    ("nl", re.compile(r"(?P<p>[1-9](?<![\w.,/-]\d)\d{3} [A-Z]{2})(?![\w-])(?! \d{5})"
r"(?P<a>[ ,]{1,2}[A-Z'][\w'-]+(?:[ -](?:aan|den|der|de|[A-Z][\w'-]*)){0,3})?")),
    ("jp", re.compile(r"〒[ ]?(?P<p>\d{3}-?\d{4})(?!\d)")),
    ("br", re.compile(r"(?P<p>\d(?<![\w.,/-]\d)\d{4}-\d{3})(?![\w-])")),
    ("pt", re.compile(r"(?P<p>\d(?<![\w.,/-]\d)\d{3}-\d{3})(?![\w-])(?P<a>[ ][A-ZÀ-Ý][\w'-]+"
r"(?:[ ](?:de|da|do|dos|das|[A-ZÀ-Ý][\w'-]*)){0,4})")),
    ("pl", re.compile(r"(?P<p>\d(?<![\w.,/-]\d)\d-\d{3})(?![\w-])(?P<a>[ ][A-ZŁŚŻŹĆ][\w'-]+"
r"(?:[ -][A-ZŁŚŻŹĆ][\w'-]*){0,2})")),
    ("eu", re.compile(r"(?:(?<=\n)|(?<=, )|(?<=^)|(?<=\d )|(?<= - )|(?<=in )|(?<=IN )"
r"|(?<=à )|(?<=en )|(?<= a ))(?P<p>(?:(?:[A-Z]{1,2}-)?\d{5}|\d{3} \d{2}"
r"|[A-Z]{1,2}-\d{4}))(?P<a>,? [A-ZÀ-ÝŁŚŻŠČŘÅÄÖØÜ](?:[^\W\d_]|['/-])+"
r"(?:[ -](?:am|an der|an|im|in|der|de|la|le|les|del|den|sur|sous"
r"|sul|di|lès|[A-ZÀ-ÝŁŚŠČŘÅÄÖØÜ][\w'-]*|\([A-Z]{2}\)))*)")),
    ("eu", re.compile(r"(?P<c>[A-ZÀ-Ý][\w'-]+(?:[ ](?:de|la|del|[A-ZÀ-Ý][\w'-]+)){0,3},[ ])"
r"(?P<p>(?<![\w.,/-])\d{5})(?![\w.,/-]?\d|\w| [A-ZÀ-Ý])")),
)  # fmt: skip
_FOUR = re.compile(
    r"[,\n][ ]?(?P<p>(?:[A-Z]{1,2}-)?[1-9]\d{3})(?P<a> [A-ZÀ-ÝÅÄÖØÜ][\w'.-]+"
    r"(?:[ -](?:am|an der|an|im|in|den|[A-ZÀ-ÝÅÄÖØÜ][\w'.-]*)){0,3})"
)
_FIVE = re.compile(r"[,\n][ ]?(?P<p>\d{5}(?:-\d{4})?)(?![\w]|[-.,/]\d)")
_LABELLED = re.compile(
    r"(?<![\w./-])(?:[A-Z]{1,2}-?)?\d[A-Z0-9]{1,7}(?:[- ]\d[A-Z0-9]{1,3}|[- ][A-Z]{2})?(?![\w]|[.,/-]\d)"
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
    for word in _WORD.finditer(text):
        pattern = _FIRST.get(word[0])
        match = pattern and pattern.match(text, word.start())
        if match and (pattern is _UNNUMBERED or any(map(str.isdecimal, match[0]))):
            yield Finding(
                match.start(), _with_unit(text, match.end()), "address", 0.72, "address.named_first"
            )
    for match in _HOUSE.finditer(text):
        length = _street_before(text, match.start())
        if length:
            yield Finding(
                match.start() - length, _with_unit(text, match.end()), "address", 0.72, "address.number_last"
            )
    for named in _RESIDING.finditer(text):
        match = _RESIDENCE.match(text, named.end())
        if match:
            yield Finding(match.start(), match.end(), "address", 0.58, "address.named")
    for match in _BOX.finditer(text):
        yield Finding(match.start(), match.end(), "address", 0.7, "address.box")


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


def postcodes(text: str) -> Iterator[Finding]:
    """Find postcodes by their shape and the place beside them, or by the word before them."""
    for country, pattern in _POSTCODES:
        for match in pattern.finditer(text):
            groups = match.groupdict()
            yield Finding(*match.span("p"), "postcode", 0.68, f"postcode.{country}")
            if groups.get("a"):
                start, end = match.span("a")
                yield Finding(
                    start + len(match["a"]) - len(match["a"].lstrip(" ,")),
                    end,
                    "address",
                    0.6,
                    "address.city",
                )
            if (groups.get("c") or "").strip():
                yield Finding(
                    match.start("c"),
                    match.end("t" if "t" in groups else "c") - 1,
                    "address",
                    0.6,
                    "address.city",
                )
    for match in _LABELLED.finditer(text):
        if label_before(text, match.start(), 2) == "postcode":
            yield Finding(match.start(), match.end(), "postcode", 0.75, "postcode.labelled")


def near_streets(text: str, streets: list[Finding]) -> Iterator[Finding]:
    """Find four-figure postcodes and cities right after a street: elsewhere they may be anything."""
    for street in streets:
        if match := _FIVE.match(text, street.end):
            yield Finding(*match.span("p"), "postcode", 0.66, "postcode.after_street")
        match = _FOUR.match(text, street.end)
        if match and label_before(text, street.start) != OTHER:
            yield Finding(*match.span("p"), "postcode", 0.66, "postcode.after_street")
            yield Finding(match.start("a") + 1, match.end("a"), "address", 0.6, "address.city")

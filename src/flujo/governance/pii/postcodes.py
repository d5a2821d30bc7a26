"""Postcodes of several countries, and the places that stand beside them."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import OTHER, label_before
from flujo.governance.pii.words import words

_LARGE = "A-ZÀ-ÝŁŚŻŹĆŠČŘŽÅÄÖØÜ"
_STATES = words("streets", "states")
_US = re.compile(r"[A-Z](?<![\w].)[A-Z][ ,]{1,2}(?P<p>\d{5}(?:-\d{4})?)(?![\w]|-\d)")
_CITY_BEFORE = re.compile(
    rf"(?<![\w])[{_LARGE}][\w'-]{{1,24}}(?:[ ](?:de|la|del|[{_LARGE}][\w'-]+)){{0,3}},?[ ]\Z"
)
_LETTERS = re.compile(
    r"[A-Z](?<![\w/-].)(?:"
    r"(?:[A-Z]?\d{1,2}|[A-Z]?\d[A-Z])[ ]\d[ABD-HJLNP-UW-Z]{2}"  # United Kingdom
    r"|\d[A-CEGHJ-NPR-TV-Z][ -]?\d[A-CEGHJ-NPR-TV-Z]\d"  # Canada
    r"|(?:\d\d|\dW)[ ][AC-FHKNPRTV-Y0-9]{4}"  # Ireland
    r")(?![\w-])"
)
_PLACE = (
    rf"[{_LARGE}'](?:[^\W\d_]|['/-])+"
    r"(?:[ -](?:am|an der|an|im|in|aan|den|der|de|da|do|dos|das|la|le|les|del|sur|sous|sul|di|lès"
    rf"|[{_LARGE}][\w'-]*"
    r"|\([A-Z]{2}\))){0,5}"
)
# With a place after them these are postcodes; without one they may be anything.
_BEFORE_PLACE = re.compile(
    r"\d(?<![\w.,/]\d)(?:\d{4}(?:-\d{3})?|\d{2}[ ]\d{2}|\d-\d{3}|\d{3}-\d{3}|\d{3}[ ]?[A-Z]{2}|\d{3})"
    rf"(?![\w-])(?P<a>,?[ ]{_PLACE})"
)
_MAY_BEGIN = re.compile(
    r"(?:\A|\n|,[ ]?|\d[ ]|[ ]-[ ]|(?:[ ]|^)(?:in|IN|à|en|a|te|w|we|em|i)[ ]|[A-Z]{1,2}-)\Z"
)
_ALONE = re.compile(r"\d(?<![\w.,/-]\d)(?:\d{4}-\d{4}|\d{4}-\d{3}|\d{3}[ ][A-Z]{2}(?!\w|[ ]\d{5}))(?![\w-])")
_JAPANESE = re.compile(r"〒[ ]?(?P<p>\d{3}-?\d{4})(?!\d)")
_AFTER_PLACE = re.compile(r",[ ](?P<p>\d{5})(?![\w.,/-]?\d|\w|[ ][A-ZÀ-Ý])")
_LABELLED = re.compile(
    r"\d(?<=[\s:=A-Z-]\d)[A-Z0-9]{1,7}(?:-\d{3,4}|[- ]\d[A-Z0-9]{1,3}|[- ][A-Z]{2})?(?![\w]|[.,/-]\d)"
)
_FOUR = re.compile(rf"[,\n][ ]?(?P<p>(?:[A-Z]{{1,2}}-)?[1-9]\d{{3}})[ ](?P<a>{_PLACE})")
_FIVE = re.compile(r"[,\n][ ]?(?P<p>\d{5}(?:-\d{4})?)(?![\w]|[-.,/]\d)")


def postcodes(text: str) -> Iterator[Finding]:
    """Find postcodes by their shape and the place beside them, or by the word before them."""
    for match in _US.finditer(text):
        if match[0][:2] in _STATES:
            yield _code(match, "p")
            begin = _city_before(text, match.start())
            yield Finding(begin, match.start() + 2, "address", 0.6, "address.city")
    for match in _LETTERS.finditer(text):
        yield _code(match, 0)
    for match in _BEFORE_PLACE.finditer(text):
        start, code = match.start(), text[match.start() : match.start("a")]
        dashed = not code.isdecimal()
        if _MAY_BEGIN.search(text, max(0, start - 6), start) if len(code) > 4 and not dashed else dashed:
            yield Finding(_country(text, start), match.start("a"), "postcode", 0.68, "postcode.before_place")
            begin = match.start("a") + len(match["a"]) - len(match["a"].lstrip(" ,"))
            yield Finding(begin, match.end(), "address", 0.6, "address.city")
    for pattern in (_ALONE, _JAPANESE):
        for match in pattern.finditer(text):
            yield _code(match, "p" if pattern is _JAPANESE else 0)
    for match in _AFTER_PLACE.finditer(text):
        begin = _city_before(text, match.start() + 2)
        if begin < match.start():
            yield _code(match, "p")
            yield Finding(begin, match.start(), "address", 0.6, "address.city")
    for match in _LABELLED.finditer(text):
        if label_before(text, match.start(), 3) == "postcode":
            yield Finding(_country(text, match.start()), match.end(), "postcode", 0.75, "postcode.labelled")


def near_streets(text: str, streets: list[Finding]) -> Iterator[Finding]:
    """Find postcodes of figures and cities right after a street: elsewhere they may be anything."""
    for street in streets:
        if match := _FIVE.match(text, street.end):
            yield _code(match, "p")
        match = _FOUR.match(text, street.end)
        if match and label_before(text, street.start) != OTHER:
            yield _code(match, "p")
            yield Finding(*match.span("a"), "address", 0.6, "address.city")


def _code(match: re.Match[str], group: str | int) -> Finding:
    return Finding(*match.span(group), "postcode", 0.67, "postcode.shape")


def _city_before(text: str, at: int) -> int:
    """Return where the name of a place begins that ends at `at`, or `at`."""
    match = _CITY_BEFORE.search(text, max(0, at - 80), at)
    return match.start() if match else at


def _country(text: str, at: int) -> int:
    """Return where a postcode begins, with the letters of its country."""
    begin = at
    while begin > 0 and at - begin < 3 and (text[begin - 1].isupper() or text[begin - 1] == "-"):
        begin -= 1
    return begin

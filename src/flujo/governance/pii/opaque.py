"""What looks like an identifier and names nobody: UUIDs, hashes, books, amounts. No rule looks inside."""

import re
from collections.abc import Iterator

from flujo.governance.pii.labels import label_before

_UUID = re.compile(
    r"[0-9A-Fa-f](?<![0-9A-Za-z].)[0-9A-Fa-f]{7}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{"
    r"12}(?![0-9A-Za-z])"
)
_HASH = re.compile(
    r"[0-9a-fA-F](?<![0-9A-Za-z].)(?=[0-9a-fA-F]{19})(?:(?<=[a-fA-F])|(?=[0-9a-fA-F]{0,40}?[a-fA-F]))"
    r"(?:(?<=\d)|(?=[0-9a-fA-F]{0,40}?\d))[0-9a-fA-F]{19,127}(?![0-9A-Za-z])"
)
_ISBN = re.compile(r"\d(?<![\w-]\d)(?:[ -]?\d){8,11}[ -]?[\dXx](?:[ -]?\d){0,3}(?!\w)")
_CURRENCY = (
    r"(?:[€$£¥₹₽₺₩]|US\$|C\$|A\$|R\$|EUR|USD|GBP|CHF|JPY|PLN|SEK|NOK"
    r"|DKK|CZK|HUF|BRL|INR|CAD|AUD|MXN|kr|zł|Kč|Ft|Rs\.?)"
)
_AMOUNT = re.compile(
    rf"{_CURRENCY}[ ]?\d{{1,3}}(?:[ .,']?\d{{3}}){{0,5}}(?:[.,]\d{{1,4}})?(?![\w])"
    rf"|\d(?<![\w.,]\d)\d{{0,2}}(?:[ .,']?\d{{3}}){{0,5}}(?:[.,]\d{{1,2}})?[ ]?{_CURRENCY}(?![\w])"
)
_THOUSANDS = re.compile(
    r"\d(?<![\w.,]\d)\d{0,2}(?:,\d{3}){1,6}(?:\.\d{1,4})?(?![\w,])"
    r"|\d(?<![\w.,]\d)\d{0,2}(?:\.\d{3}){1,6},\d{1,4}(?![\w.])"
)


def opaque(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans in which no number is personal."""
    if "-" in text:
        for match in _UUID.finditer(text):
            yield match.span()
    for match in _HASH.finditer(text):
        yield match.span()
    for match in _AMOUNT.finditer(text):
        yield match.span()
    for match in _THOUSANDS.finditer(text):
        yield match.span()
    if "ISBN" in text or "isbn" in text or "978" in text or "979" in text:
        for match in _ISBN.finditer(text):
            digits = "".join(filter(str.isalnum, match[0]))
            named = "isbn" in text[max(0, match.start() - 16) : match.start()].lower()
            if named or (
                len(digits) == 13
                and digits[:3] in ("978", "979")
                and _ean(digits)
                and label_before(text, match.start()) != "phone"
            ):
                yield match.span()


def _ean(digits: str) -> bool:
    return sum(int(digit) * (3 if at % 2 else 1) for at, digit in enumerate(digits)) % 10 == 0

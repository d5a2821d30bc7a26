"""Payment cards and IBANs: what carries a checksum that tells it from other numbers."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import OTHER, label_before

_CARD = re.compile(
    r"[2-6](?<![\w.+,-]\d)\d{3}(?:(?P<s>[ .-])\d{4}(?P=s)\d{4}(?P=s)\d{4}"
    r"(?:(?P=s)\d{3})?|(?P<t>[ .-])\d{6}(?P=t)\d{4,5}|\d{8,15})"
    r"(?![\w]|[.,-]\d|-\w)"
)
_MISREAD = re.compile(r"[0-9OoIl|](?<![\w.-].)(?:[ -]?[0-9OoIl|]){12,18}(?!\w)")
_READ = str.maketrans("OoIl|", "00111")
_IBAN = re.compile(r"[A-Za-z](?<![\w-].)[A-Za-z]\d\d(?:[ .-]?[A-Za-z0-9]){11,30}")
_RUN = re.compile(r"[A-Za-z0-9]*")
_SEPARATORS = str.maketrans("", "", " .-/()")

_IBAN_LENGTHS = {
    code: int(size)
    for size, codes in {
        "15": "NO", "16": "BE", "18": "DK FO FI GL NL SD", "19": "MK SI", "20": "AT BA EE KZ XK LT LU MN",
        "21": "HR LV LI CH", "22": "BH BG CR GE DE IE ME RS GB VA", "23": "GI IQ IL OM SO TL AE",
        "24": "AD CZ MD PK RO SA SK ES SE TN VG",
        "25": "LY PT ST", "26": "IS TR", "27": "BI DJ FR GR IT MR MC SM",
        "28": "AL AZ BY CY DO SV GT HU LB NI PL", "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC",
        "32": "LC", "33": "RU",
    }.items()
    for code in codes.split()
}  # fmt: skip
"""How long the IBAN of a country is, from the SWIFT registry of IBAN formats."""


def luhn(digits: str) -> bool:
    """Return whether digits end in the check digit of ISO/IEC 7812-1."""
    total = sum(map(int, digits[-1::-2]))
    return (total + sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])) % 10 == 0


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def compact(text: str) -> str:
    """Return a number without what separates its groups."""
    return text.translate(_SEPARATORS)


def cards(text: str) -> Iterator[Finding]:
    """Find payment cards: a known issuer, a length it uses, and the Luhn digit."""
    for match in _CARD.finditer(text):
        digits = compact(match[0])
        if _issued(digits) and luhn(digits):
            label = label_before(text, match.start())
            # Few digits of that beginning are an old Maestro card or a barcode; an order may pass by chance.
            rare = len(digits) < 16 and digits[0] in "56"
            if (label == "card" or not rare) and (label != OTHER or match["s"] or match["t"]):
                yield Finding(match.start(), match.end(), "card", 0.95, "card.luhn")
    for match in _MISREAD.finditer(text) if any(letter in text for letter in "OoIl|") else ():
        digits = compact(match[0]).translate(_READ)
        letters = sum(letter in "OoIl|" for letter in match[0])
        loose = match[0][1] in " -" or match[0][-2] in " -"
        if 0 < letters <= 6 and not loose and _issued(digits) and luhn(digits):
            yield Finding(match.start(), match.end(), "card", 0.8, "card.look_alike")


def _issued(digits: str) -> bool:
    size, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    if digits[0] == "4":
        return size in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return size == 16
    if two in (34, 37):
        return size == 15
    if 300 <= three <= 305 or three == 309 or two in (36, 38, 39):
        return size in (14, 16, 19)
    if 3528 <= four <= 3589:
        return 16 <= size <= 19
    if two == 50 or 56 <= two <= 69:
        return 12 <= size <= 19
    return size == 15 and four in (1800, 2131)


def ibans(text: str) -> Iterator[Finding]:
    """Find IBANs by the remainder of ISO 7064, of countries that have none only where they are so called."""
    for match in _IBAN.finditer(text):
        found, start = match[0], match.start()
        size = _IBAN_LENGTHS.get(found[:2].upper())
        believed = bool(size) or label_before(text, start, 2) == "iban"
        run = _RUN.match(found)
        ends = {_reach(found, size) if size else 0, run.end() if run and believed else 0}
        for end in sorted(ends, reverse=True):
            followed = text[start + end : start + end + 1].isalnum()
            if end >= 15 and not followed and _remainder(compact(found[:end]).upper()) == 1:
                yield Finding(start, start + end, "iban", 1.0, "iban.mod97")
                break


def _reach(found: str, size: int) -> int:
    """Return where the given count of letters and digits ends."""
    count = 0
    for at, letter in enumerate(found):
        count += letter.isalnum()
        if count == size:
            return at + 1
    return 0


def _remainder(code: str) -> int:
    return int("".join(str(int(letter, 36)) for letter in code[4:] + code[:4])) % 97

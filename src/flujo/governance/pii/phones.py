"""Telephone numbers of many countries: by how they are written, by what they are called, by numbering plans.

Numbering plans are asked last, where only they can tell: they cost a hundred times what a pattern does.
"""

import re
from collections.abc import Iterator

from flujo.governance.pii.extra import phone_plans
from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import OTHER, REVISION, label_after, label_before

_NUMBER = re.compile(
    r"[+(0-9](?<![\w+].)(?<![\w][-/._].)(?<!\d,.)(?:[ ]?\(?\+?\d|\d)?(?:(?:\)[ ]?[./-]?[ ]?"
    r"|[ ]?\(|[ ]?[./-][ ]?|[ ])?\d){5,16}\)?"
    r"(?:[ ,;]{0,2}(?:x|ext\.?|extension|poste|#|Durchwahl|DW|int\."
    r"|wew\.)[ ]?\d{1,6})?(?![\w]|[-_][\w]|[./:]\d)"
)
_EXTENSION = re.compile(r"[ ,;]{0,2}(?:x|ext|poste|#|Durch|DW|int|wew)", re.IGNORECASE)
_NANP = re.compile(r"(?:(?:\+|00)?1[-. ]?)?(?:\(\d{3}\)[-. ]?|\d{3}[-. ])\d{3}[-. ]\d{4}\Z")
_FORMATTED = re.compile(r"\(\d{2,5}\)|\d{3}[-.]\d{3}[-.]\d{4}|(?:001|1)-\d{3}-|0\d{1,4}[ /-]\d")
# What was found already stands right before it, as one way to reach a person beside another.
_BESIDE = re.compile(r"\x00[,;/|]?[ \n]{0,2}(?:(?:and|or|und|oder|et|ou|y|o|e|en|of|i|och)[ ])?\Z")
_BESIDE_AFTER = re.compile(r"[ ]?[,;|\t/][ ]?\x00")
_TRUNK = re.compile(r"\(?0\d{1,4}\)?(?:[ ]?[-./][ ]?|[ ])?\d")
_GROUPED = re.compile(
    r"[1-9]\d{2} \d{3} \d{3}\Z|[1-9]\d(?: \d\d){3}\Z|[1-9]\d{2} \d\d \d\d \d\d\Z"
    r"|\d{4} \d{4}\Z|[1-9]\d{1,2} \d{7}\Z|[1-9]\d \d{4,5}-\d{4}\Z"
)
_PARENTHESES = re.compile(r"\(\d{2,5}\)[ ]?[-/]?[ ]?\d")
_DATE = re.compile(r"\d{1,4}([./-])\d{1,2}\1\d{2,4}\Z")
_SAYS_ELSE = frozenset(
    {
        OTHER,
        REVISION,
        "account",
        "card",
        "iban",
        "ssn",
        "national_id",
        "mrn",
        "health_plan",
        "license",
        "vehicle",
        "device",
    }
)
_REGIONS = (
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "NL",
    "PT",
    "PL",
    "BR",
    "SE",
    "DK",
    "NO",
    "IN",
    "AU",
    "CH",
    "AT",
)


def phones(text: str) -> Iterator[Finding]:
    """Find telephone and fax numbers."""
    for match in _NUMBER.finditer(text):
        start, found = match.start(), match[0]
        if found[-1] == ")" and found.count("(") < found.count(")"):
            found = found[:-1]
        extension = _EXTENSION.search(found)
        body = found[: extension.start()] if extension else found
        digits = "".join(filter(str.isdecimal, body))
        if not 6 <= len(digits) <= 16:
            continue
        label = label_before(text, start) or label_after(text, start + len(found))
        score, rule = _judged(
            body,
            digits,
            label,
            label_before(text, start, 3),
            extended=extension is not None,
            beside=_beside(text, start, match.end()),
        )
        if score:
            if found[0] == "(" and ")" not in found:
                start, found = start + 1, found[1:]
            yield Finding(start, start + len(found), "phone", score, f"phone.{rule}")


def _judged(
    body: str, digits: str, label: str, near: str, *, extended: bool, beside: bool
) -> tuple[float, str]:
    if body.lstrip("(").startswith("+"):
        return (0.9, "international") if 8 <= len(digits) <= 15 and _calling_code(digits) else (0.0, "")
    if label == "phone" and (len(digits) > 7 or near == "phone"):
        return (0.9, "labelled") if len(digits) <= 15 else (0.0, "")
    told = label in _SAYS_ELSE and (near in _SAYS_ELSE or not _FORMATTED.match(body))
    if _DATE.match(body) or told or (label == OTHER and "(" not in body and not extended):
        return 0.0, ""
    return _by_shape(body, digits, extended=extended, beside=beside)


def _beside(text: str, start: int, end: int) -> bool:
    """Return whether something found already stands right before or after, as in a list of contacts."""
    before = _BESIDE.search(text, max(0, start - 12), start)
    return before is not None or _BESIDE_AFTER.match(text, end) is not None


def _by_shape(body: str, digits: str, *, extended: bool, beside: bool) -> tuple[float, str]:
    """Judge a number that no word is said of: by how it is written, and by numbering plans."""
    if body.startswith("00"):
        international = 10 <= len(digits) <= 16 and _calling_code(digits[2:])
        return (0.75, "international") if international and len(digits) > 10 else (0.0, "")
    if extended or _NANP.match(body):
        return 0.65, "north_american"
    if _TRUNK.match(body) and len(body) > len(digits) and 8 <= len(digits) <= 12:
        return 0.6, "national"
    if digits[0] == "0" and 10 <= len(digits) <= 11 and len(body) == len(digits):
        return (0.55, "plan") if planned(digits) else (0.0, "")
    if _PARENTHESES.match(body) and 9 <= len(digits) <= 13:
        return 0.6, "parentheses"
    if beside and 8 <= len(digits) <= 11:
        return (0.7, "beside") if planned(digits) else (0.0, "")
    if _GROUPED.match(body):
        return (0.55, "plan") if planned(digits) else (0.0, "")
    return 0.0, ""


def _calling_code(digits: str) -> bool:
    codes = phone_plans().COUNTRY_CODE_TO_REGION_CODE
    return any(int(digits[:size]) in codes for size in (1, 2, 3)) and digits[0] != "0"


def planned(digits: str, regions: tuple[str, ...] = _REGIONS) -> bool:
    """Return whether the numbering plan of some of the regions has such a number."""
    plans = phone_plans()
    for region in regions:
        try:
            if plans.is_valid_number(plans.parse(digits, region)):
                return True
        except plans.NumberParseException:
            continue
    return False

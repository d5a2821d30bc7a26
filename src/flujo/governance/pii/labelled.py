"""Numbers that a word before them makes personal: medical records, accounts, licences, devices; ages."""

import re
from collections.abc import Iterator

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import label_before, said
from flujo.governance.pii.numbers import luhn

_FIGURES = re.compile(r"\d\w*(?:[-/.:]\w+|[ ]\d\w*){0,6}")
_WORD = re.compile(r"[^\W\d_]+")
_BREAK = re.compile(r"[.!?;]\s|\n")
_YEAR = re.compile(r"(?:19|20)\d\d")
_VIN = re.compile(r"[A-HJ-NPR-Z0-9](?<![A-Za-z0-9_-].)[A-HJ-NPR-Z0-9]{16}(?![\w]|-\w)")
_VIN_VALUES = {
    letter: int(value)
    for letter, value in zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True)
}
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_IMEI = re.compile(r"\d(?<![\w.+-]\d)\d(?P<s>[- ]?)\d{6}(?P=s)\d{6}(?P=s)\d(?![\w]|-\w)")
_PLATE = re.compile(r"[A-ZÄÖÜА-Я0-9](?<![\w-].)[A-ZÄÖÜА-Я0-9]{0,7}(?:[ ·-][A-ZÄÖÜА-Я0-9]{1,5}){0,3}(?![\w])")
_PLATES = re.compile(
    r"plate|registration|kennzeichen|immatricul|plaque|matr[ií]cula|targa|kenteken|rejestrac|placa|registrerings|rekisteri|plaka"
)
_MEMBER = re.compile(
    r"[1-9](?<![\w-].)[AC-HJKMNP-RTUVWXY][0-9AC-HJKMNP-RTUVWXY]\d-?[AC-HJKMNP-RTUVWXY][0-9AC-H"
    r"JKMNP-RTUVWXY]\d-?[AC-HJKMNP-RTUVWXY]{2}\d\d(?![\w-])"
)
_DRIVER = re.compile(r"[A-Z](?<![\w-].)[A-Z9]{4}\d{6}[A-Z9]{2}\d[A-Z]{2}(?![\w-])")
_SORT = re.compile(r"\d{2}-\d{2}-\d{2}\Z")
_OLD = re.compile(
    r"[Aa](?<![\w].)(?:ged?|GED?|lter|LTER)[ ]?(?:of|is|:|von|=)?[ ]{0,2}"
    r"(?P<a>9\d|1[0-2]\d)(?![\w]|[.,/-]\d|[ ]?%)"
    r"|(?<![\w.,/-])(?P<b>9\d|1[0-2]\d)(?:[- ]?years?[- ]?olds?"
    r"|[- ]?year[- ]old|[ ]?y/?o\b|[ ]?y\.[ ]?o\.|[- ]?yrs?[- .]?olds?|[- ]?jährige?[rnsm]?"
    r"|[ ]Jahre?n?[ ]alt|[ ]Jahren|[ ]ans\b"
    r"|[ ]años|[ ]anni|[ ]jaar|[- ]jarige|[ ]anos|[ ]lat\b|[ ]år\b|[- ]åri\w{0,3})"
)
_LEAST = {"mrn": 4, "account": 5, "health_plan": 5, "license": 5, "vehicle": 1, "device": 5, "national_id": 6}
_REACH = {"mrn": 3, "account": 3, "health_plan": 3, "license": 3, "vehicle": 3, "device": 3, "national_id": 3}


def labelled(text: str) -> Iterator[Finding]:
    """Find numbers by the word before them; three words at most may stand between, no end of a sentence."""
    for match in _FIGURES.finditer(text):
        start, end = match.span()
        start = _lead(text, start)
        kind = _label(text, start)
        if kind not in _LEAST:
            continue
        found = text[start:end].rstrip(".:-/")
        digits = sum(map(str.isdecimal, found))
        if digits < _LEAST[kind] or (_YEAR.fullmatch(found) and kind != "mrn") or len(found) < 4:
            continue
        score = 0.72 if kind != "national_id" else 0.65
        yield Finding(start, start + len(found), kind, score, f"{kind}.labelled")


def _lead(text: str, start: int) -> int:
    """Return where an identifier begins whose figures stand at `start`: it may have letters before them."""
    at = start
    while at > 0 and start - at < 14 and (text[at - 1].isalpha() or text[at - 1] in "-/."):
        at -= 1
    while at < start and not text[at].isalnum():
        at += 1
    return at


def _label(text: str, at: int) -> str:
    piece = text[max(0, at - 48) : at]
    for end in _BREAK.finditer(piece):
        if not piece[: end.start()].lower().endswith(("no", "nr", "num", "acct", "lic", "ref", "tel")):
            return said(_WORD.findall(piece[end.end() :])[-3:])
    return said(_WORD.findall(piece)[-4:])


def vehicles(text: str) -> Iterator[Finding]:
    """Find vehicle identification numbers by their check digit (ISO 3779) or by name, and plates by name."""
    for match in _VIN.finditer(text):
        found = match[0]
        if found.isdigit() or found.isalpha():
            continue
        if _vin(found) or label_before(text, match.start()) == "vehicle":
            yield Finding(match.start(), match.end(), "vehicle", 0.85, "vehicle.vin")
    for named in _PLATES.finditer(text.lower()) if text.isascii() or len(text.lower()) == len(text) else ():
        match = _PLATE.search(text, named.end(), named.end() + 40)
        if not match or label_before(text, match.start(), 4) != "vehicle":
            continue
        if sum(map(str.isalnum, match[0])) <= 9 and any(map(str.isdecimal, match[0])) and len(match[0]) > 1:
            yield Finding(match.start(), match.end(), "vehicle", 0.75, "vehicle.plate")


def _vin(found: str) -> bool:
    total = sum(
        weight * (_VIN_VALUES.get(letter) or int(letter))
        for letter, weight in zip(found, _VIN_WEIGHTS, strict=True)
    )
    return "0123456789X"[total % 11] == found[8]


def devices(text: str) -> Iterator[Finding]:
    """Find the numbers of mobile devices, by their Luhn digit and a word before them."""
    for match in _IMEI.finditer(text):
        digits = "".join(filter(str.isdecimal, match[0]))
        if luhn(digits) and (label_before(text, match.start()) == "device" or match["s"] == "-"):
            yield Finding(match.start(), match.end(), "device", 0.97, "device.imei")


def health(text: str) -> Iterator[Finding]:
    """Find numbers of health plans and licences that are written in a way of their own."""
    for match in _MEMBER.finditer(text):
        yield Finding(match.start(), match.end(), "health_plan", 0.8, "health_plan.medicare")
    for match in _DRIVER.finditer(text):
        yield Finding(match.start(), match.end(), "license", 0.8, "license.gb_driver")


def ages(text: str) -> Iterator[Finding]:
    """Find ages over 89, which HIPAA's Safe Harbor counts as identifying."""
    for match in _OLD.finditer(text):
        group = "a" if match["a"] else "b"
        yield Finding(*match.span(group), "age", 0.8, "age.over_89")

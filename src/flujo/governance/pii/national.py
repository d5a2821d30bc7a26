"""Numbers that states and health systems give to people, by their own check digits (python-stdnum)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flujo.governance.pii.extra import checks
from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import OTHER, label_before
from flujo.governance.pii.numbers import compact
from flujo.governance.pii.phones import planned

_FIGURES = re.compile(r"\d(?<![\w+]\d)(?<![\w][./-]\d)(?<!\d,\d)(?:[ ]?[-./]?\d){6,17}(?![\w]|[-_]\w|[./]\d)")
_ELSE = frozenset({OTHER, "phone", "account", "card", "iban", "device", "vehicle", "license", "secret"})
_MEANT = frozenset({"national_id", "ssn", "mrn", "health_plan"})


@dataclass(frozen=True, slots=True)
class Scheme:
    """One kind of number.

    Attributes:
        name: Country and kind, as in python-stdnum.
        shape: How it is written; digits for numbers of figures only.
        alone: How sure its shape and check digits make it where no word says what it is; 0 asks for a word.
        strict: Whether it must pass its check digits even then.
    """

    name: str
    shape: re.Pattern[str]
    alone: float
    strict: bool = True


def _scheme(name: str, shape: str, alone: float, *, strict: bool = True) -> Scheme:
    return Scheme(name, re.compile(shape), alone, strict)


_DATED = r"\d{2}(?:0[1-9]|1[0-2]|[2-9]\d)(?:[0-2]\d|3[01])"

FIGURES = (
    _scheme("ch.ssn", r"756[. ]?\d{4}[. ]?\d{4}[. ]?\d{2}\Z", 0.9),
    _scheme("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}\Z", 0.9),
    _scheme("br.cpf", r"\d{9}-?\d{2}\Z", 0.6),
    _scheme("br.cnpj", r"\d{2}\.?\d{3}\.?\d{3}/?\d{4}-?\d{2}\Z", 0.7),
    _scheme("be.nn", r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}\Z", 0.9),
    _scheme("be.nn", r"\d{11}\Z", 0.6),
    _scheme("fr.nir", r"[1-478] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3}(?: ?[/ ]?\d{2})\Z", 0.9),
    _scheme("fr.nir", r"[12] ?\d{2} ?(?:0[1-9]|1[0-2]) ?\d{2} ?\d{3} ?\d{3}\Z", 0),
    _scheme("pl.pesel", rf"{_DATED}\d{{5}}\Z", 0.75),
    _scheme("no.fodselsnummer", r"[0-7]\d[0-5]\d{3} ?\d{5}\Z", 0.75),
    _scheme("tr.tckimlik", r"[1-9]\d{10}\Z", 0.65),
    _scheme("gr.amka", r"[0-3]\d[01]\d{8}\Z", 0.6),
    _scheme("ee.ik", rf"[1-6]{_DATED}\d{{4}}\Z", 0.65),
    _scheme("lt.asmens", rf"[3-6]{_DATED}\d{{4}}\Z", 0.65),
    _scheme("de.idnr", r"[1-9]\d(?: ?\d{3}){3}\Z", 0.6),
    _scheme("hr.oib", r"\d{11}\Z", 0),
    _scheme("ro.cnp", rf"[1-9]{_DATED}\d{{6}}\Z", 0.8),
    _scheme("za.idnr", r"\d{6} ?\d{4} ?\d{3}\Z", 0.65),
    _scheme("kr.rrn", r"\d{6}-[0-9]\d{6}\Z", 0.85, strict=False),
    _scheme(
        "cn.ric", r"[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}[\dXx]\Z", 0.7, strict=False
    ),
    _scheme("se.personnummer", r"(?:19|20)?\d{6}-\d{4}\Z", 0.75),
    _scheme("se.personnummer", r"(?:19|20)\d{10}\Z", 0.6),
    _scheme("dk.cpr", r"[0-3]\d[01]\d{3}-\d{4}\Z", 0.7),
    _scheme("cz.rc", r"\d{6}/\d{3,4}\Z", 0.7),
    _scheme("is_.kennitala", r"\d{6}-\d{4}\Z", 0.6),
    _scheme("at.vnr", r"[1-9]\d{3} ?[0-3]\d[01]\d{3}\Z", 0.6),
    _scheme("bg.egn", rf"{_DATED}\d{{4}}\Z", 0),
    _scheme("gb.nhs", r"\d{3} \d{3} \d{4}\Z", 0.66),
    _scheme("gb.nhs", r"\d{3}-?\d{3}-?\d{4}\Z", 0),
    _scheme("in_.aadhaar", r"[2-9]\d{3} ?\d{4} ?\d{4}\Z", 0.6),
    _scheme("ca.sin", r"\d{3}[- ]?\d{3}[- ]?\d{3}\Z", 0),
    _scheme("nl.bsn", r"\d{4}[. ]?\d{2}[. ]?\d{3}\Z", 0),
    _scheme("au.tfn", r"\d{3} ?\d{3} ?\d{3}\Z", 0),
    _scheme("pt.nif", r"[1235689]\d{2} ?\d{3} ?\d{3}\Z", 0),
    _scheme("il.idnr", r"\d{9}\Z", 0),
    _scheme("pl.nip", r"\d{3}-?\d{3}-?\d{2}-?\d{2}\Z", 0.0),
    _scheme("cl.rut", r"\d{1,2}\.\d{3}\.\d{3}-\d\Z", 0.75),
    _scheme("us.itin", r"9\d{2}-[5-9]\d-\d{4}\Z", 0.7, strict=False),
)
"""Numbers of figures only; the first that fits and passes names the number."""

_OMO = "[0-9LMNP-Vlmnp-v]"
"""A figure of a codice fiscale, or the letter that stands for it where two persons would share a code."""

_VAT = (
    r"ATU\d{8}",
    r"BE ?[01]\d{9}",
    r"DE ?\d{9}",
    r"FR ?[0-9A-Z]{2} ?\d{9}",
    r"IT ?\d{11}",
    r"NL ?\d{9}B\d\d",
    r"PL ?\d{10}",
    r"ES ?[0-9A-Z]\d{7}[0-9A-Z]",
    r"PT ?\d{9}",
    r"SE ?\d{12}",
    r"DK ?\d{8}",
    r"FI ?\d{8}",
    r"CHE[- ]?\d{3}[.]?\d{3}[.]?\d{3}",
    r"LU ?\d{8}",
    r"CZ ?\d{8,10}",
    r"RO ?\d{4,10}",
    r"HU ?\d{8}",
    r"EL ?\d{9}",
    r"GB ?\d{9}",
)
_FISCALE = rf"[A-Za-z]{{6}} ?{_OMO}{{2}} ?[A-EHLMPR-Ta-ehlmpr-t] ?{_OMO}{{2}} ?[A-Za-z]{_OMO}{{3}} ?[A-Za-z]"

MIXED = (
    _scheme("it.codicefiscale", _FISCALE, 0.85, strict=False),
    _scheme("mx.curp", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[A-Z0-9]\d", 0.9, strict=False),
    _scheme(
        "mx.rfc",
        r"[A-ZÑ&]{3,4}-?\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])-?[A-Z0-9]{3}",
        0.65,
        strict=False,
    ),
    _scheme(
        "gb.nino", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-DFMPT]", 0.7, strict=False
    ),
    _scheme("in_.pan", r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]", 0.7, strict=False),
    _scheme("es.nie", r"[XYZxyz][- ]?\d{7}[- ]?[A-Za-z]", 0.8),
    _scheme("sg.nric", r"[STFGM]\d{7}[A-Z]", 0, strict=False),
    _scheme("es.cif", r"[A-HJNP-SUVW]-?\d{7}-?[0-9A-J]", 0.55),
    _scheme("de.rvnr", r"\d{2} ?[0-3]\d[01]\d\d\d ?[A-Z] ?\d{3}", 0.7, strict=False),
    _scheme("es.dni", r"\d{2}\.?\d{3}\.?\d{3}[- ]?[A-Za-z]", 0.7),
    _scheme("fr.nir", r"[12] ?\d{2} ?\d{2} ?2[ABab] ?\d{3} ?\d{3}(?: ?\d{2})?", 0.8, strict=False),
    _scheme("fi.hetu", r"[0-3]\d[01]\d{3}[-+A-FYXWVU]\d{3}[0-9A-FHJ-NPR-Y]", 0.8),
    _scheme("ie.pps", r"\d{7}[A-W][A-IW]?", 0.55),
    _scheme("cl.rut", r"\d{1,2}\.?\d{3}\.?\d{3}-[kK]", 0.75),
    _scheme("cn.ric", r"[1-9]\d{5}(?:19|20)\d{9}[Xx]", 0.9),
    _scheme("eu.vat", f"(?:{'|'.join(_VAT)})", 0.6),
)

"""Numbers with letters in them."""

_ALTERNATIVES = "|".join(f"(?P<s{at}>{one.shape.pattern})" for at, one in enumerate(MIXED))
_IN_LETTERS = re.compile(rf"(?<![A-Za-z0-9])(?<!\w[-/._])(?:{_ALTERNATIVES})(?![A-Za-z0-9]|[-/_]\w)")
_ID = re.compile(r"(?<!\w)(?:ID|Id|id)(?:[ ]?[:#=])?[ ]\Z")
_SSN = re.compile(r"\d{3}[- ]\d{2}[- ]\d{4}\Z")


def national_ids(text: str) -> Iterator[Finding]:
    """Find numbers of persons, by their check digits and by the word before them."""
    for match in _FIGURES.finditer(text):
        label = label_before(text, match.start())
        finding = _figures(
            match[0],
            match.start(),
            match.end(),
            label,
            told_id=_ID.search(text, max(0, match.start() - 5), match.start()) is not None,
        )
        if finding:
            yield finding
    for match in _IN_LETTERS.finditer(text):
        scheme = MIXED[next(at for at in range(len(MIXED)) if match[f"s{at}"])]
        label = label_before(text, match.start())
        if label == OTHER:
            continue
        passed = _passes(scheme.name, match[0])
        labelled = label in _MEANT
        score = scheme.alone if passed or not scheme.strict else 0.0
        if labelled:
            score = max(score, 0.9 if passed else 0.7)
        if score:
            yield Finding(match.start(), match.end(), "national_id", score, f"national_id.{scheme.name}")


def _figures(found: str, start: int, end: int, label: str, *, told_id: bool) -> Finding | None:
    if _SSN.match(found) and label != OTHER and label != "phone":
        sound = found[:3] not in ("000", "666") and found[4:6] != "00" and found[-4:] != "0000"
        if label in _MEANT:
            return Finding(start, end, "ssn", 0.95, "ssn.labelled")
        return Finding(start, end, "ssn", 0.85, "ssn.written") if sound and "-" in found else None
    if label == "ssn":
        digits = compact(found)
        if len(digits) == 9:
            return Finding(start, end, "ssn", 0.9, "ssn.labelled")
    if label in _ELSE:
        return None
    named = label in ("national_id", "ssn")
    called = named or told_id
    if not label and found[0] == "0" and len(found) == 11 and planned(found, ("GB", "DE", "IT")):
        return None  # a telephone number may pass the check of a national one, which begins with 0 less often
    for scheme in FIGURES:
        if (scheme.alone or called) and scheme.shape.match(found):
            passed = _passes(scheme.name, found)
            if passed or not scheme.strict:
                score = 0.95 if named else max(scheme.alone, 0.7 if called else 0.0)
                return Finding(start, end, "national_id", score, f"national_id.{scheme.name}")
    return Finding(start, end, "national_id", 0.7, "national_id.labelled") if named else None


def _passes(name: str, found: str) -> bool:
    check = checks().get(name)
    return check is None or check((found if name == "fi.hetu" else compact(found)).upper())

"""Does the invoice still stand, and is anything left to pay? Marks like *cancelled* and *paid* say no."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from .amounts import CENT
from .checks import Check
from .document import Document
from .labels import Labelled

_PAPER = (
    r"(?:(?:this|the|tax|vat|diese|die|der|cette|la|esta|questa|deze|de|sales|original) )*"
    r"(?:invoices?|bill|document|receipt|rechnung|beleg|facture|factura|fattura|factuur|fatura|faktura|documento)"
)
_CANCELLED = (
    r"cancell?ed|cancell?ation|void(?:ed)?|null and void|annull?ed|revoked|withdrawn|superseded"
    r"|storno|storniert|stornierung|annulliert|ungultig|aufgehoben|annulee?s?|annulation|anulad[oa]s?"
    r"|cancelad[oa]s?|annullat[oa]|annullamento|geannuleerd|vervallen|makulerad|annulleret|kansellert"
    r"|anulowan[oaey]|stornovano|stornirana|mitatoity|sztorno|ervenytelen|anulata?"
    r"|draft|entwurf|brouillon|borrador|bozza|rascunho|utkast|udkast|specimen|do not pay|nicht zahlen"
)
_IS = r"(?:is|was|has been|have been|ist|wurde|wird|est|a ete|ha sido|e stata)"
#: A phrase that says nothing else, with the paper's name, its number and a date around it at most.
_CANCELLED_MARK = re.compile(
    rf"[\W_]*(?:{_PAPER}[\W_]*(?:no\.?|nr\.?|n°)?[\W_]*(?:[a-z]{{0,4}}[\d/-]+)?[\W_]*(?:{_IS})?[\W_]*)?"
    rf"(?:{_CANCELLED})(?:[\W_]+(?:{_CANCELLED}|and|und|et|y|e|en|copy|{_PAPER}))*[\W_]*"
    r"(?:(?:on|am|le|el|il|op|by|per|vom|du|del)?[\W_]*\d.*)?"
)
_CANCELLED_SENTENCE = re.compile(
    rf"{_PAPER}[^.\n]{{0,30}} {_IS} (?:hereby |hiermit |par la presente )?(?:{_CANCELLED})(?![a-z])"
)
_PAID = (
    r"(?:already|fully) (?:been )?paid|paid (?:in full|already|by|with|via|on|per|using)|payment received"
    r"|payment completed?|(?:was|were|has been|have been) (?:fully |already )?paid"
    r"|no (?:further )?payment (?:is )?(?:due|required|necessary)|nothing (?:is )?(?:left )?to pay"
    r"|(?:thank you|thanks) for (?:your|the) payment|we received your payment"
    r"|bereits (?:\w+ )?(?:be|ge)zahlt|dankend erhalten|betrag (?:\w+ )?erhalten"
    r"|zahlung (?:\w+ )?(?:erhalten|eingegangen)|bereits beglichen|wurde beglichen|bereits abgebucht"
    r"|(?:wurde|ist|per \w+|mit \w+|via \w+|am \S+) (?:vollstandig )?(?:be|ge)zahlt"
    r"|keine? (?:zahlung|betrag) (?:mehr )?(?:fallig|erforderlich|offen)"
    r"|deja (?:ete )?(?:paye|regle|acquitte)e?s?|acquittee?|(?:payee?|reglee?) (?:le|par|en ligne|comptant)"
    r"|ya (?:ha sido )?pagad[oa]|pagad[oa] (?:el|con|por|mediante)|gia (?:stat[oa] )?pagat[oa]"
    r"|pagat[oa] (?:il|con|tramite)|reeds (?:betaald|voldaan)|is (?:al )?(?:betaald|voldaan)"
    r"|(?:betaald|voldaan) (?:met|via|op|per)|ja pago|pago em|(?:er|ar|allerede|redan) betalt?d?"
    r"|betalt (?:med|via|den)|zaplacono|oplacon[oa]|uhrazeno|jiz zaplaceno|maksettu"
)
_PAID_SENTENCE = re.compile(rf"(?<![a-z])(?:{_PAID})(?![a-z])")
_PAID_MARK = re.compile(
    rf"[\W_]*(?:{_PAPER}[\W_]*(?:{_IS})?[\W_]*)?(?:paid|settled|bezahlt|beglichen|payee?|reglee?|acquittee?"
    r"|pagad[oa]|pagat[oa]|betaald|voldaan|pag[oa]|betalt|betald|zaplacono|zaplaceno|uhrazeno|maksettu"
    r"|fizetve|kifizetve|platit|achitat)[\W_]*(?:(?:on|am|le|el|il|op|em|den)?[\W_]*\d.*)?"
)
#: What makes of a payment one that is yet to come: "until paid in full", "if you have already paid".
_NOT_YET = re.compile(
    r"(?<![a-z])(?:if|unless|until|till|once|when|where|must|should|shall|will|to|not|after|falls|sofern|wenn"
    r"|bis|sollten?|sobald|nicht|nach|si|sauf|jusqu'?a?u?|des|doit|doivent|hasta|cuando|debe|se|qualora|fino"
    r"|finche|als|indien|tot|wanneer|om|till?|indtil|hvis|dersom|tills)(?![a-z])[^.]*$"
)


def standing_check(document: Document, labelled: Sequence[Labelled], gross: Decimal) -> Check:
    """It is not marked as cancelled, something is to be paid, and nothing says that it was paid already."""
    if gross <= 0:
        return Check(name="standing", outcome="unknown", sentence=f"{gross} is no amount to pay.")
    sentence = _cancelled(document) or _settled(labelled, gross) or _said_to_be_paid(document)
    if sentence is not None:
        return Check(name="standing", outcome="failed", sentence=sentence)
    return Check(name="standing", outcome="passed", sentence=f"Nothing says that {gross} is not to be paid.")


def _cancelled(document: Document) -> str | None:
    for printed, folded in _phrases(document):
        if len(folded) <= 60 and _CANCELLED_MARK.fullmatch(folded):
            return f'It is marked "{printed}".'
    found = _CANCELLED_SENTENCE.search(document.folded)
    return f'It says "{found[0]}".' if found else None


def _settled(labelled: Sequence[Labelled], gross: Decimal) -> str | None:
    """A balance of nothing, or a payment of the whole amount."""
    for one in labelled:
        if one.role == "due" and one.value == 0 and one.strength >= 2 and one.manner != "column":
            return f'Nothing is left to pay: "{one.label}" says {one.value}.'
    payments = {(one.label, one.value): one for one in labelled if one.role == "paid" and one.value}
    for one in payments.values():
        if abs(one.value) >= gross - CENT:
            return f'It was paid already: "{one.label}" says {one.value}.'
    if sum((abs(one.value) for one in payments.values()), Decimal(0)) >= gross - CENT:
        return f"The payments that are printed make {gross} already."
    return None


def _said_to_be_paid(document: Document) -> str | None:
    for printed, folded in _phrases(document):
        if len(folded) <= 60 and _PAID_MARK.fullmatch(folded):
            return f'It is marked "{printed}".'
    for number, line in enumerate(document.lines):
        before = document.lines[number - 1].folded if number else ""
        for found in _PAID_SENTENCE.finditer(line.folded):
            if not _NOT_YET.search(f"{before} {line.folded[: found.start()]}"[-90:]):
                return f'It says "{found[0]}".'
    return None


def _phrases(document: Document) -> Iterator[tuple[str, str]]:
    """Every line and every cell, as printed and folded; letters that were spaced out are put together."""
    for line in document.lines:
        parts = [(line.text, line.folded)]
        parts += [(cell.text, line.folded[cell.start : cell.end]) for cell in line.cells]
        for printed, folded in parts:
            words = folded.split()
            spaced = len(words) > 3 and all(len(word) == 1 for word in words)
            yield " ".join(printed.split()), ("" if spaced else " ").join(words)

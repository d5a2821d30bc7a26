"""The day an invoice was issued and the day it is due, told apart from all the other dates on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from .date_formats import PrintedDate, printed_dates
from .document import Document, Reading
from .facts import DateFacts, Fact

Meaning = Literal["issued", "plain", "due", "other"]


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<![a-z])(?:{words})(?![a-z])" for words in alternatives))


_DUE = _any(
    r"due|due (?:date|on|by)|pay(?:able)? (?:by|before|until|on)|payment (?:due|deadline|date)|pay before"
    r"|falligkeit\w*|fallig\w*",
    r"zahlbar\w*|zahlungsziel|zahltag|zahlungsfrist|zu zahlen bis|zahlen sie bis|valuta|bis zum"
    r"|bis spatestens|spatestens",
    r"echeance|date limite|a (?:payer|regler) (?:avant|le)|payable (?:le|avant|au)|prelev\w*|vencimiento"
    r"|vence|fecha (?:de )?vto",
    r"scadenza|scade|pagare entro|entro il|vervaldatum|vervaldag|uiterlijk|betalen (?:voor|binnen)"
    r"|te betalen (?:voor|op)|betaaldatum",
    r"vencimento|pagar ate|data limite|forfallodatum|forfallodag|forfaldsdato|forfaldsdag|forfallsdato"
    r"|betalingsfrist|oss tillhanda",
    r"termin (?:platnosci|zaplaty)|splatnost\w*|datum splatnosti|erapaiva|fizetesi hatarido|scadent\w*"
    r"|debit(?:ed)? (?:on|date)"
    r"|abbuchung\w*|abgebucht|eingezogen|lastschrift\w*|auto-?pay\w*",
)
_OTHER = _any(
    r"period\w*|from|to|until|through|between|leistungs\w*|liefer\w*|versand\w*|bestell\w*|auftrags\w*"
    r"|order\w*|purchase\w*|po date",
    r"ship\w*|deliver\w*|despatch\w*|dispatch\w*|service (?:date|period)|date of (?:supply|service|birth"
    r"|arrival|departure)|supply",
    r"check-?in|check-?out|arrival|departure|anreise|abreise|print\w*|gedruckt|druckdatum|imprime\w*"
    r"|statement period|billing period",
    r"zeitraum|abrechnungszeitraum|du|au|periode|commande|livraison|expedi\w*|pedido|entrega|albaran"
    r"|ordine|consegna|ddt|trasporto",
    r"bestel\w*|lever\w*|verzend\w*|encomenda|valid\w*|gultig\w*|expir\w*|ablauf\w*|paid|payment"
    r"|bezahlt\w*|paye|pagado|betaald\w*",
    r"sprzedazy|dostawy|plneni|uskutecneni|toimitus\w*|teljesites\w*|contract|vertrag\w*|contrat|birth"
    r"|geburt\w*|created|updated",
    r"booking|booked|buchungs\w*|reservation|since|seit|depuis|renew\w*|next|previous|last|vorherige\w*"
    r"|stand|journey|travel|flight",
    r"quote|offer|angebot\w*|devis|presupuesto|preventivo|offerte|orcamento|version|rev|registration"
    r"|registered|received|eingang\w*"
    r"|vom|bis|van|tot|dal|al|desde|hasta|inicio|fim|periodo|t/m|cutoff|usage|verbrauch\w*|ablesung|releve"
    r"|tax point|effective"
    r"|subscription|abonnement|abo|laufzeit|transaction|reference",
)
_INVOICE = _any(
    r"invoice|invoiced|bill|billing|tax point|rechnung\w*|beleg\w*|facture|facturation|factura|fattura"
    r"|factuur\w*|fatura|faktur\w*"
    r"|faktura\w*|lasku\w*|laskun|szamla\w*|receipt|quittung\w*|gutschrift\w*|avoir|credit note|nota"
    r"|documento|document|recibo|recu|bon",
)
_ISSUED = _any(
    r"issued?(?: on| date)?|date of issue|issue date|ausgestellt\w*|ausstellungsdatum|ausgabedatum|emis\w*"
    r"|emitida|emision|emissione",
    r"date d'emission|fecha (?:de )?(?:emision|expedicion|factura)|data (?:di )?emissione|data de emissao"
    r"|datum uitgifte|wystawienia"
    r"|vystaveni|utfardad\w*|kelte|statement date|dated|bill date|invoiced on|date de facturation"
    r"|date facture|fakturadatum",
)
_DATE_WORD = _any(
    r"date|datum|fecha|data|dato|paivays|paivamaara|pvm|dated|le|den|kelt|tag|am|issued|on|del|vom|du|fait"
    r"|d\.d|van|dtd|dt"
)


@dataclass(frozen=True, slots=True)
class _Named:
    """A date and what its label makes of it; `weight` orders the candidates."""

    found: PrintedDate
    meaning: Meaning
    weight: float
    label: str


def find_dates(reading: Reading) -> DateFacts:
    """Read the dates of issue and payment; a date whose order of day and month stays open has no value."""
    if reading.kind == "unreadable":
        return DateFacts()
    dates = printed_dates(reading)
    named = [_name(reading, found, dates) for found in dates]
    return DateFacts(issued=_issued(reading, named), due=_due(reading, named))


def _name(document: Document, found: PrintedDate, dates: Sequence[PrintedDate]) -> _Named:
    line = document.lines[found.line]
    begin = max(
        [other.end for other in dates if other.line == found.line and other.end <= found.start], default=0
    )
    before = line.folded[begin : found.start]
    between = before.strip(" :\t.,") in (
        "-",
        "to",
        "bis",
        "au",
        "al",
        "tot",
        "t/m",
        "a",
        "until",
        "through",
        "/",
        "~",
        "hasta",
        "ate",
    )
    if between and begin:
        return _Named(found, "other", 0, "the end of a period")
    if re.match(
        r"[ \t]*(?:-|to\b|bis\b|au\b|tot\b|t/m|until\b|through\b|hasta\b|~)[ \t]*\d", line.folded[found.end :]
    ):
        return _Named(found, "other", 0, "the beginning of a period")
    cells = [cell for cell in before.split("\t") if re.search(r"[a-z]{2}|n°|#", cell)]
    if cells:
        meaning, weight = _meaning(cells[-1])
        if meaning != "plain" or weight > 1 or not _heads(document, found):
            return _Named(found, meaning, weight - 0.002 * found.line, cells[-1].strip())
    for head in _heads(document, found):
        meaning, weight = _meaning(head)
        if meaning != "plain" or weight > 1:
            return _Named(found, meaning, weight - 0.3 - 0.002 * found.line, head)
    if cells:
        meaning, weight = _meaning(cells[-1])
        return _Named(found, meaning, weight - 0.002 * found.line, cells[-1].strip())
    return _Named(found, "plain", 0.5 - 0.002 * found.line, "")


def _meaning(label: str) -> tuple[Meaning, float]:
    """What a label says about its date; the words nearest to the date count."""
    label = re.sub(r"\s+", " ", re.sub(r"[:()\[\]*|]", " ", label)).strip()[-60:]
    issued, other, due = _last(_ISSUED, label), _last(_OTHER, label), _last(_DUE, label)
    invoice, word = _last(_INVOICE, label), _last(_DATE_WORD, label)
    if due >= 0 and due >= issued - 1:
        return ("due", 3)
    if issued >= 0 and issued >= other:
        return ("issued", 4)
    if (
        invoice >= 0
        and (word >= 0 or re.search(r"n[°ro.]|#|\d$|date|datum", label))
        and not _between(other, invoice, label)
    ):
        return ("issued", 3.5 if re.search(r"dat|fecha|pvm|paiv", label) else 3)
    if other >= 0 and not (word > other and invoice > other):
        return ("other", 0)
    if invoice >= 0:
        return ("issued", 2)
    if re.fullmatch(r"(?:the )?(?:date|datum|fecha|data|dato|dated|dt|date de)", label):
        return ("plain", 2.5)
    if re.search(r"[a-z]{3,},? ?(?:le|den|am|li|,)?$", label) and len(label) < 30:
        return ("plain", 1.5 if re.search(r"(?:, ?|, ?(?:le|den|li) ?|le|den)$", label) else 1)
    return ("plain", 0.7)


def _between(other: int, invoice: int, label: str) -> bool:
    """Whether a word for something else stands behind the invoice word ("invoice period from")."""
    behind = label[invoice:] if invoice >= 0 else label
    return other > invoice and re.search(r"\b(?:vom|du|van|del|dal)$", behind.strip()) is None


def _last(pattern: re.Pattern[str], label: str) -> int:
    """Where the last match begins, or -1."""
    return max((match.start() for match in pattern.finditer(label)), default=-1)


def _heads(document: Document, found: PrintedDate) -> list[str]:
    """The cells over a date, nearest first, that can be its label."""
    here = document.lines[found.line]
    height = max(here.bottom - here.top, 4.0)
    heads: list[str] = []
    for line in document.above(found.line):
        if here.top - line.bottom > 2.6 * height or len(heads) == 2:
            break
        for cell in line.cells:
            if min(cell.x1, found.x1) - max(cell.x0, found.x0) > 0 and cell.text.strip():
                folded = line.folded[cell.start : cell.end].strip()
                if re.search(r"[a-z]{3}", folded) and len(folded) < 40:
                    heads.append(folded)
    return heads


def _issued(document: Document, named: Sequence[_Named]) -> Fact[date]:
    candidates = sorted((one for one in named if one.meaning == "issued"), key=lambda one: -one.weight)
    if not candidates:
        candidates = sorted((one for one in named if one.meaning == "plain"), key=lambda one: -one.weight)
        distinct = {one.found.readings for one in candidates}
        if candidates and candidates[0].weight < 1.2 and len(distinct) > 1:
            texts = tuple(one.found.text for one in candidates[:6])
            return Fact[date](
                considered=texts, why="several dates and none is called the date of the invoice"
            )
    return _date_fact(document, candidates, "the date of the invoice")


def _due(document: Document, named: Sequence[_Named]) -> Fact[date]:
    candidates = sorted((one for one in named if one.meaning == "due"), key=lambda one: -one.weight)
    return _date_fact(document, candidates, "the date of payment")


def _date_fact(document: Document, candidates: Sequence[_Named], what: str) -> Fact[date]:
    if not candidates:
        return Fact[date](why=f"{what} was not found")
    best = candidates[0]
    line = document.lines[best.found.line]
    # What is labelled as clearly as the best and says another day puts it in doubt.
    rivals = {one.found.readings for one in candidates if one.weight > best.weight - 0.25} - {
        best.found.readings
    }
    others = tuple(
        dict.fromkeys(one.found.text for one in candidates if one.found.readings != best.found.readings)
    )[:6]
    if not best.found.sure:
        both = " or ".join(day.isoformat() for day in best.found.readings)
        return Fact[date](
            page=line.page,
            printed=line.text.replace("\t", "  "),
            considered=tuple(day.isoformat() for day in best.found.readings),
            why=f'"{best.found.text}" may mean {both}, and nothing decides whether day or month comes first',
        )
    confidence = min(0.95, 0.35 + 0.15 * best.weight) * (0.6 if rivals else 1.0)
    return Fact[date](
        value=best.found.readings[0],
        confidence=round(confidence, 2),
        page=line.page,
        printed=line.text.replace("\t", "  "),
        considered=others,
        why=f'printed beside "{best.label}"' if best.label else "the only date that has no other meaning",
    )

"""What sort of paper a document is: an invoice, a credit note, something else, or not clear."""

from __future__ import annotations

import re
from typing import NamedTuple

from .document import Document, Reading
from .facts import DocumentKind
from .labels import labelled_amounts

_INVOICE = (
    r"(?:(?:retail|tax|vat|sales|commercial|customer|your|final|original|corrected|e-?|service"
    r"|the) )*(?:invoices?(?:/bills?)?|bill of supply"
    r"|(?:e-?)?bill|sales receipt|receipt|payment receipt)|(?:[a-z]+-?)?rechnung|quittung|kassenbon"
    r"|(?:la )?facture(?: de vente)?|votre facture"
    r"|(?:copia )?factura(?: simplificada)?|recibo|fattura(?: accompagnatoria)?|(?:btw-?)?factuur|rekening"
    r"|fatura(?:/recibo|-recibo)?"
    r"|faktura(?: vat)?|faktura - danovy doklad|danovy doklad|lasku|szamla|factura fiscala|regning|kvitto"
    r"|kvittering|nota fiscal"
)
_CREDIT = (
    r"(?:tax )?credit (?:note|memo|invoice)|(?:rechnungs)?gutschrift|stornorechnung|rechnungskorrektur"
    r"|(?:facture d')?avoir"
    r"|nota de credito|factura rectificativa|nota (?:di )?credito|creditnota|creditfactuur|kreditfaktura"
    r"|kreditnota"
    r"|faktura korygujaca|dobropis|hyvityslasku"
)
_OTHER = (
    r"pro-?\s?forma(?: invoice)?|proforma-?rechnung|facture pro-?\s?forma|factura pro-?\s?forma"
    r"|fattura pro-?\s?forma|quotation|quote"
    r"|(?:sales )?estimate|offer|angebot|kostenvoranschlag|devis|presupuesto|preventivo|offerte|orcamento"
    r"|sales order|purchase order"
    r"|order confirmation|auftragsbestatigung|bestellbestatigung|confirmation de commande|bon de commande"
    r"|conferma d'ordine"
    r"|orderbevestiging|bestellung|bestelbon|confirmacion de pedido|pedido|delivery note|packing (?:slip"
    r"|list)|dispatch note"
    r"|lieferschein|bon de livraison|albaran|documento di trasporto|pakbon|leverbon|guia de remessa"
    r"|(?:\d\. )?mahnung"
    r"|zahlungserinnerung|(?:payment )?reminder|relance|rappel|herinnering|aanmaning|sollecito"
    r"|(?:account )?statement(?: of account)?"
    r"|kontoauszug|releve de compte|extracto|estratto conto|payslip|pay slip|remittance advice"
    r"|lohnabrechnung|contract|agreement"
    r"|(?:first |second |third |final |last |friendly |\d\w\w )?(?:payment |invoice )?reminder"
    r"|(?:final|overdue|past due) (?:notice|demand)|delivery (?:docket|slip|order|receipt)"
    r"|goods (?:delivery|received) note|(?:customer|monthly) statement|sales order confirmation"
    r"|(?:erste|zweite|dritte|letzte) mahnung|auftragsbestaetigung|rappel de paiement|lettre de relance"
    r"|mise en demeure|recordatorio de pago|sollecito di pagamento|betalingsherinnering"
    r"|betalningspaminnelse|rykker|foljesedel|folgeseddel|nota de entrega|bolla di consegna"
    r"|potwierdzenie zamowienia|upomnienie|dodaci list"
    r"|vertrag|contrat|minutes|agenda|report|curriculum vitae|menu|price list|preisliste|newsletter"
)
_TAIL = (
    r"(?:[ :.#-]*(?:no\b|nr\b|n°|number|num|nummer|numero|date|vom|du|dated|seite|page|\d"
    r"|[a-z]{0,6}[-/]?\d).*)?"
)
#: "Delivery note for invoice 12", "Reminder: invoice 12", "Invoice (pro forma)".
_OTHER_OF_INVOICE = re.compile(
    rf"(?:{_OTHER})(?:[ :,-]*(?:for|to|of|on|re|zu[rm]?|fur|pour|de la|du|per|van|voor|till?|para|por|della)"
    r"\b|[ ]?[:(-]).*"
    r"|.*\bpro-?\s?forma\b.*"
)
_OTHER_AND_INVOICE = re.compile(
    rf"(?:{_OTHER}) ?(?:/|&|\+|and|und|et|y|e|en) ?(?:{_INVOICE}){_TAIL}"
    rf"|(?:{_INVOICE}) ?(?:/|&|\+|and|und|et|y|e|en) ?(?:{_OTHER}){_TAIL}"
)
_TITLES: tuple[tuple[DocumentKind, re.Pattern[str]], ...] = (
    ("not_an_invoice", re.compile(rf"(?:{_OTHER})(?: / (?:{_OTHER}))?{_TAIL}")),
    ("credit_note", re.compile(rf"(?:{_CREDIT}){_TAIL}")),
    ("invoice", re.compile(rf"(?:[\w&.,' -]{{0,40}} )?(?:{_INVOICE})(?: ?/ ?(?:{_INVOICE}))?{_TAIL}")),
)
_INVOICE_WORD = re.compile(
    r"(?<![a-z])(?:invoices?|bill(?:ing|ed)?|receipt|rechnungs?\w*|quittung|facture|factura|recibo|fattura"
    r"|factuur\w*|fatura|faktur\w*"
    r"|lasku\w*|szamla\w*|rekening|regning|nota fiscal)(?![a-z])"
)


def document_kind(reading: Reading) -> tuple[DocumentKind, str]:
    """Tell what sort of paper a document is, and why in a sentence."""
    if reading.kind == "unreadable":
        return "unreadable", reading.reason
    titles = titles_on(reading, 1)
    totals = [
        one for one in labelled_amounts(reading) if one.role in ("gross", "due", "total") and one.strength > 1
    ]
    other, credit, invoice = (titles.get(kind) for kind in ("not_an_invoice", "credit_note", "invoice"))
    if other is not None and (invoice is None or other.height > invoice.height + 1):
        return "not_an_invoice", f'Its title is "{other.text}".'
    if credit is not None and (invoice is None or credit.height >= invoice.height):
        return "credit_note", f'Its title is "{credit.text}".'
    if not totals:
        return "not_an_invoice", "No total is printed on it."
    if (
        other is not None
        and invoice is not None
        and (other.line <= invoice.line or other.alone)
        and other.height >= invoice.height - 1
    ):
        if other.text == invoice.text:
            return "unclear", f'It is titled "{other.text}".'
        return "unclear", f'It is titled "{other.text}" and "{invoice.text}".'
    if invoice is not None:
        return "invoice", f'It is headed "{invoice.text}".'
    if _INVOICE_WORD.search(reading.folded):
        return "invoice", "It speaks of an invoice and has a total."
    return "unclear", "It has a total, but nothing on it says that it is an invoice."


class Title(NamedTuple):
    """A title: its height in points, its text, its line, and whether no number is in it or behind it."""

    height: float
    text: str
    line: int
    alone: bool


def titles_on(document: Document, page: int) -> dict[DocumentKind, Title]:
    """The tallest title of each kind on a page; of equals the first."""
    best: dict[DocumentKind, Title] = {}
    for position, line in enumerate([line for line in document.lines if line.page == page][:61]):
        for cell in line.cells:
            folded = " ".join(line.folded[cell.start : cell.end].replace("*", " ").split()).strip(" -:|")
            height = round(line.bottom - line.top, 1)
            alone = re.search(r"\d", line.text[cell.start :]) is None
            for kind in _kinds(folded):
                if kind not in best or height > best[kind].height:
                    best[kind] = Title(height, cell.text.strip(), position, alone)
    return best


def _kinds(folded: str) -> tuple[DocumentKind, ...]:
    """What a phrase is the title of; nothing if it is no title."""
    if len(folded) > 70:
        return ()
    if _OTHER_AND_INVOICE.fullmatch(folded):
        return ("not_an_invoice", "invoice")
    if _OTHER_OF_INVOICE.fullmatch(folded) and _INVOICE_WORD.search(folded):
        return ("not_an_invoice",)
    for kind, pattern in _TITLES:
        if pattern.fullmatch(folded):
            return (kind,)
    return ()

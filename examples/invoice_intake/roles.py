"""The part an amount plays, told from the words beside it: net, tax, gross, paid, discount and so on.

No list of whole phrases could hold all invoices; these are the words that phrases are made of ("total",
"without", "tax", "to pay"), in fifteen languages, and the few rules by which they combine: *total without
tax* is a net amount, *total including tax* a gross one, *including tax* alone the tax itself.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

Role = Literal[
    "gross", "due", "total", "net", "tax", "base", "discount", "shipping", "paid", "previous", "rounding",
    "carried", "saved", "noise",
]  # fmt: skip


def _words(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<![a-z])(?:{words})(?![a-z])" for words in alternatives))


_TAX = _words(
    r"vat|tax(?:es)?|gst|[cisu]t?gst|hst|pst|qst|s\.?tax|cess|service tax|sales tax|mwst|m\.w\.st|mwst|ust"
    r"|u\.st",
    r"mehrwertsteuern?|umsatzsteuer|steuer(?:betrag|n)?|mehrwertsteuerbetrag|mwst-?betrag|ust-?betrag|tva"
    r"|t\.v\.a",
    r"taxes? sur la valeur ajoutee|iva|i\.v\.a|impuestos?|igic|imposta|imposto|btw|b\.t\.w|omzetbelasting"
    r"|moms",
    r"merverdiavgift|mva|mervardesskatt|podatek|podatku|dph|alv|arvonlisavero|afa|vat amount|taxe"
    r"|mwst\.betrag",
)
_INCLUDING = _words(
    r"incl|including|inclusive|inc|included|inkl|inklusive|einschl|einschliesslich|enthalten\w*|enthaelt"
    r"|dont|compris\w*",
    r"con|incluid[oa]s?|inclus[oaie]*|incluso|inclusief|med|comprens\w*|com|inklusiv|w tym|z vat|s dph"
    r"|vcetne|sis|sisaltaa",
    r"toutes taxes|darin|of which|ivato|ivata|waarvan|di cui|varav|heraf|herav",
)
_WITHOUT = _words(
    r"excl|excluding|exclusive|exc|ex|before|without|excluded|net of|exkl|exklusive|ohne|vor|hors"
    r"|hors taxes?",
    r"sin|senza|esclus[ao]|escluid[oa]|sem|zonder|exclusief|eksklusive|ekskl|eks|exklusiv|utan|uden|uten"
    r"|bez|veroton|nelkul",
    r"fara|untaxed|pre-?tax|non[- ]taxed|tax[- ]free|antes de",
)
_PLUS = _words(r"zzgl|zuzuglich|plus|add|ajouter|mas|piu|mais|plus de")
_HT, _TTC = _words(r"h\.?t\.?v?\.?a?\.?|ht"), _words(r"t\.?t\.?c\.?|ttc")
_BRUTTO = _words(r"brutto\w*|\w*bruttobetrag|gross|ivato|bruto|brut")
_NET = _words(
    r"net|netto\w*|net[- ]?amount|nettobetrag|sub[- ]?total\w*|sous[- ]?total|subtotaal|subtotale"
    r"|zwischen\w+|warenwert",
    r"taxable\w*|imponibile|base imponible|base tributavel|maatstaf\w*|grunnlag|zaklad|bemessungsgrundlage"
    r"|valor liquido",
    r"liquido|importe neto|neto|netto-?summe|nettosumme|item\(?s?\)? (?:sub)?total|warenbetrag"
    r"|positionssumme|suma netto",
    r"imponibil[ei]|incidencia|delsumma|delsum|mellansumma|veroton|alapja|totale imponibile|merce|charges?",
)
_TOTAL = _words(
    r"total\w*|tot|totaal\w*|totales?|gesamt\w*|summe|summa|suma|sum|somme|\w*betrag|montant|importe"
    r"|importo|bedrag|amount",
    r"valor|belopp|belob|belop|kwota|razem|ogolem|celkem|castka|yhteensa|osszesen|\w*summe|\w*summa|i alt"
    r"|wartosc|grand",
    r"endpreis|\w*bedrag|totalt|value|vrijednost|rechnungs?wert|insgesamt|fakturabelopp|eindtotaal|charged"
    r"|general|sumac",
)
_STRONG = _words(
    r"grand total|invoice total|total invoice|invoice amount|invoice value|total amount(?: due)?"
    r"|order total|final total",
    r"total (?:for|of) (?:this|the) (?:invoice|bill|order)|bill (?:total|amount)|total (?:bill|charges?"
    r"|charged|cost|price)",
    r"amount charged|gesamtbetrag|rechnungsbetrag|gesamtsumme|endbetrag|endsumme|rechnungssumme"
    r"|gesamtpreis|rechnungsendbetrag",
    r"rechnungstotal|gesamtrechnungsbetrag|total facture|total de la facture|montant total"
    r"|montant (?:de la )?facture|totaalbedrag",
    r"total general|total (?:de (?:la )?)?factura|importe total|totale fattura|totale documento"
    r"|importo totale|totale complessivo",
    r"factuurbedrag|totaal factuur|eindtotaal|factuurtotaal|eindbedrag|total da fa[ct]+ura|valor total"
    r"|total geral|totalbelopp",
    r"fakturabelopp|fakturabelob|i alt|totalt|wartosc brutto|celkova castka|razem brutto|laskun loppusumma"
    r"|loppusumma|vegosszeg",
    r"total final|total documento|total do documento|totale generale|invoice grand total|net total amount"
    r"|gross (?:amount|total)",
)
_DUE = _words(
    r"(?:amount|total|balance|payment|sum|now) (?:\w+ )?(?:due|payable|owing|owed|outstanding)"
    r"|amount to (?:be )?pa(?:y|id)",
    r"(?:total )?to (?:be )?(?:pay|paid)|please pay|payable|pay this amount|due amount|due now|net payable"
    r"|balance|outstanding",
    r"zu zahlen\w*(?: \w+)?|zahlbetrag|zahlungsbetrag|zahllast|zu uberweisen\w*|uberweisungsbetrag"
    r"|falliger betrag|restbetrag",
    r"offener betrag|zu begleichen\w*|noch offen|abbuchungsbetrag|fallig\w*|(?:net|somme|montant|total"
    r"|solde|reste)s? (?:a|restant)",
    r"(?:net |somme |montant |total |solde |reste )?a (?:payer|regler)|montant (?:du|preleve)|reste du"
    r"|total (?:du|preleve)|solde",
    r"(?:total |importe |neto )?a pagar|importe (?:adeudado|pendiente)|saldo|(?:totale |netto "
    r"|importo )?(?:da|a) pagare|da saldare",
    r"(?:totale )?dovuto|(?:nog )?te (?:betalen|voldoen)\w*|openstaand\w*|verschuldigd\w*"
    r"|(?:summa )?att betala|(?:at|a) betale",
    r"do zaplaty|k uhrade|maksettava\w*|fizetendo|de plata|valor a pagar|til betaling|pozostalo do zaplaty"
    r"|zu bezahlen\w*",
)
_PAID = _words(
    r"paid|amount paid|payments?(?: received| made)?|less payments?|deposit\w*|prepaid|advance"
    r"|bereits (?:be|ge)zahlt|bezahlt",
    r"gezahlt|anzahlung\w*|abzgl|geleistete\w*|erhalten\w*|deja (?:paye|regle|verse)e?s?|paye|acomptes?"
    r"|regle|reglements?|verse",
    r"pagad[oa]s?|anticipos?|pagat[oa]|acconto|acconti|betaald|aanbetaling|voldaan|vooruitbetaald|pago"
    r"|adiantamento|betalt|betald",
    r"zaplacono|uhrazeno|zalohy?|maksettu|fizetve|tendered|cash|change|refund\w*|credit card|visa"
    r"|mastercard|paypal|wallet",
)
_DISCOUNT = _words(
    r"discounts?|rabatt\w*|nachlass|skonto|remises?|reduction|rabais|ristourne|descuentos?|dto|sconto"
    r"|sconti|korting\w*",
    r"descontos?|rabat|alennus|kedvezmeny|sleva|promo\w*|vouchers?|coupons?|gutschein\w*|bon de reduction"
    r"|credits?|gift card",
    r"ermassigung|prompt payment|early payment|kortingsbon|cashback"
    r"|irpf|retencion|retenue|ritenuta(?: d'acconto)?|withholding|withheld|tds",
)
_SHIPPING = _words(
    r"shipping\w*|postage|delivery|freight|handling|p&p|versand\w*|porto\w*|fracht\w*|liefer\w*kosten"
    r"|(?:frais de )?(?:port|livraison)",
    r"(?:gastos de )?envio|transporte|portes|(?:spese di )?(?:spedizione|trasporto)|verzendkosten"
    r"|bezorgkosten|verzending|frakt|fragt",
    r"dostawa|koszt wysylki|doprava|postovne|toimitus\w*|szallitas\w*|frete|expedition|zustellung"
    r"|versandkosten|courier",
)
_PREVIOUS = _words(
    r"previous\w*|brought forward|last (?:bill|invoice|statement)|prior|opening balance|(?:alter"
    r"|vorheriger) saldo|saldovortrag",
    r"(?:solde|ancien solde|report) (?:precedent|anterieur)|ancien solde|saldo (?:anterior|precedente"
    r"|vorige)|vorig\w*|anterior\w*",
    r"vormonat|precedent[ei]?|total before|original price|list price|old balance|unpaid|overdue",
)
_ROUNDING = _words(
    r"round(?:ing|ed)?(?:[- ]?off)?\w*|rundung\w*|arrondi\w*|redondeo|arrotondament[oi]|afronding\w*"
    r"|arredondamento|oresavrundning"
    r"|oreavrunding|avrunding|zaokrouhleni|pyoristys|kerekites",
)
_CARRIED = _words(
    r"carr(?:y|ied) (?:forward|over|down)|page total|ubertrag|seitensumme|a reporter|report|suma y sigue"
    r"|riporto|a riportare"
    r"|transport(?:eren)?|a transportar|do przeniesienia|prenos|seitentotal|total page|sous-total page|c/f"
    r"|b/f",
)
_SAVED = _words(
    r"you saved?|your savings?|savings?|sie sparen|ersparnis|gespart|vous economisez|economies?|ahorro\w*"
    r"|risparmi\w*|besparing"
    r"|u bespaart|poupanca|points?|miles|reward\w*",
)
_NOISE = _words(
    r"capital(?:e)?|stammkapital|grundkapital|kapital|limit|exchange rate|wechselkurs|taux de change"
    r"|cambio|late (?:fee|charge)"
    r"|mahngebuhr\w*|penalit\w+|indemnite|in case of|if you pay|pay after|after due date|equivalent"
    r"|per (?:month|day|unit|hour)"
    r"|co2|kwh|weight|gewicht|poids|peso|interest|verzugszinsen|dunning|reminder|year to date|ytd"
    r"|next (?:bill|invoice|payment)"
    r"|credit limit|available credit|insured|mrp|unit price|einzelpreis|prix unitaire|precio unitario"
    r"|prezzo unitario|stuksprijs"
    r"|qty|quantity|quantities|quantite|menge|aantal|cantidad|quantita|units?|items?|no\. of|number of"
    r"|anzahl|nombre",
)
_OVERRULING: tuple[tuple[re.Pattern[str], Role], ...] = (
    (_CARRIED, "carried"),
    (_PREVIOUS, "previous"),
    (_SAVED, "saved"),
    (_NOISE, "noise"),
)
_BASE = re.compile(
    r"(?:\bon|\bvon|\bauf|\bsur|\bsobre|\bsu|\bover|\bvan|\bof|\bde|\baf|\bav|\bbase|\bbasis|@|\bz)[ :]*$"
)
_TO_PAY_IN_NAME = _words(
    r"net a payer|netto a pagare|neto a pagar|netto zu zahlen|net payable|net amount (?:due|payable)"
    r"|net to pay"
)


@lru_cache(maxsize=4096)
def role_of(phrase: str) -> tuple[Role, int] | None:
    """The role that a folded label gives to its amount, and how strongly: 3 explicit, 2 clear, 1 loose.

    The rules stand in the order in which the words overrule each other.
    """
    phrase = phrase.strip(" :.-*")
    if not phrase or len(phrase) > 90:
        return None
    for words, role in _OVERRULING:
        if words.search(phrase):
            return (role, 1)
    if _ROUNDING.search(phrase):
        return ("rounding", 2)
    if _TO_PAY_IN_NAME.search(phrase):
        return ("due", 3)
    return _total_role(phrase) or _part_role(phrase)


def _total_role(phrase: str) -> tuple[Role, int] | None:
    taxed = _TAX.search(phrase) is not None
    summed = _TOTAL.search(phrase) is not None or _STRONG.search(phrase) is not None
    due = _DUE.search(phrase) is not None
    if taxed and _PLUS.search(phrase):
        # "plus 19 % tax" is the tax, "total plus tax" what it is added to.
        return ("net", 2) if summed and _PLUS.search(phrase, 3) else ("tax", 3)
    if (_WITHOUT.search(phrase) and (taxed or summed)) or (_HT.search(phrase) and not _TTC.search(phrase)):
        return ("net", 3)
    if _INCLUDING.search(phrase) and taxed:
        starts_total = _TOTAL.search(phrase) or due or _BRUTTO.search(phrase)
        including = _INCLUDING.search(phrase)
        leads = starts_total is not None and including is not None and _leads(phrase)
        return ("gross", 3) if leads else ("tax", 2)
    if _TTC.search(phrase) or (_BRUTTO.search(phrase) and not taxed):
        return ("gross", 3)
    if due and not taxed:
        return ("due", 3)
    if _PAID.search(phrase) and not _STRONG.search(phrase):
        return ("paid", 2)
    return None


def _leads(phrase: str) -> bool:
    """Whether a word for a total comes before the word for *including*: "total incl. tax"."""
    total = min(
        (m.start() for m in (_TOTAL.search(phrase), _DUE.search(phrase), _BRUTTO.search(phrase)) if m),
        default=999,
    )
    including = _INCLUDING.search(phrase)
    return including is not None and total < including.start()


def _part_role(phrase: str) -> tuple[Role, int] | None:
    if _TAX.search(phrase):
        if _NET.search(phrase) and not re.search(r"net tax", phrase):
            return ("net", 2)
        return ("tax", 3 if len(phrase) < 45 else 1)
    if _DISCOUNT.search(phrase):
        return ("discount", 2)
    if _SHIPPING.search(phrase):
        return ("shipping", 2)
    if _STRONG.search(phrase) and not re.match(r"sub", phrase):
        return ("net", 2) if re.search(r"\bnett?o?\b", phrase) else ("gross", 2 if len(phrase) > 45 else 3)
    if _NET.search(phrase):
        return ("net", 2)
    if _TOTAL.search(phrase):
        return ("total", 2 if len(phrase) < 45 else 1)
    return None


def column_role_of(head: str) -> tuple[Role, int] | None:
    """The role that the head of a column gives; "incl. tax" over a column is the gross amount."""
    role = role_of(head)
    if role is not None and role[0] == "tax" and _INCLUDING.match(head.strip(" .")) and _TAX.search(head):
        return ("gross", 3)
    return role


def introduces_base(phrase: str) -> bool:
    """Whether the words before an amount say that it is what the tax is taken of ("19 % on 100.00")."""
    return _BASE.search(phrase) is not None

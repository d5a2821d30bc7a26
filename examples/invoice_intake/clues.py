"""Clues: language, countries, decimal mark and currencies that a whole document points to."""

from __future__ import annotations

import re
from collections import Counter

from stdnum.eu import vat as eu_vat

from .currency import named_currencies
from .document import Clues, Document
from .number_formats import DecimalMark, decimal_mark

#: Words that tell the languages apart, without accents; invoice words count as much as small words do.
_WORDS = {
    "en": (
        "the and of for to invoice date amount due payment your from tax number total please is bill "
        "with on by"
    ),
    "de": (
        "der die das und fur ist rechnung rechnungsnummer datum betrag mwst zahlbar wir von bitte mit "
        "nicht den im zzgl ust gesamt umsatzsteuer kundennummer lieferung menge steuer netto"
    ),
    "fr": (
        "le la les et du des pour facture montant votre vous tva numero ttc ht paiement date nous sur "
        "dans total client reglement echeance siret designation"
    ),
    "es": (
        "el la los las y de del para factura importe fecha su iva numero base imponible cliente total "
        "pago con por vencimiento cantidad precio"
    ),
    "it": (
        "il la le e di del della per fattura importo data iva numero imponibile totale cliente "
        "pagamento con partita scadenza quantita prezzo"
    ),
    "nl": (
        "de het een en van voor factuur bedrag datum btw nummer totaal uw wij met factuurnummer "
        "factuurdatum betaling aantal omschrijving prijs te op"
    ),
    "pt": (
        "o a os as e de do da para fatura valor data iva numero total cliente pagamento com vencimento "
        "quantidade preco contribuinte descricao nota"
    ),
    "sv": (
        "och att faktura fakturanummer belopp moms datum betala forfallodatum kund antal pris summa "
        "exkl for oss till"
    ),
    "da": (
        "og faktura fakturanummer belob moms dato betaling i alt kunde antal pris forfaldsdato ekskl "
        "til subtotal"
    ),
    "nb": "og faktura fakturanummer belop mva dato betaling kunde antall pris forfallsdato sum eks til",
    "pl": (
        "faktura vat nr data sprzedawca nabywca kwota netto brutto razem do zaplaty termin platnosci "
        "ilosc cena i w"
    ),
    "cs": (
        "faktura cislo datum dodavatel odberatel castka celkem dph k uhrade splatnosti mnozstvi cena a na"
    ),
    "fi": "lasku laskun numero paivamaara erapaiva yhteensa alv maksettava asiakas maara hinta ja",
    "hu": "szamla szamlaszam kelte fizetesi hatarido osszesen afa netto brutto es a vevo elado",
    "ro": "factura data furnizor cumparator valoare tva total de plata nr cantitate pret si",
}
_VOCABULARY = {language: frozenset(words.split()) for language, words in _WORDS.items()}

_COUNTRY_SIGNS = {
    "US": (
        r"\bunited states\b|\bu\.?s\.?a\b|\b(?:al|ak|az|ar|ca|co|ct|de|fl|ga|hi|ia|id|il|in|ks|ky"
        r"|la|ma|md|me|mi|mn|mo|ms|mt|nc|nd|ne|nh|nj|nm|nv|ny|oh|ok|or|pa|ri|sc|sd|tn|tx|ut|va|vt"
        r"|wa|wi|wv|wy),? +\d{5}(?:-\d{4})?\b|\bsales tax\b"
    ),
    "GB": (
        r"\bunited kingdom\b|\bengland\b|\bscotland\b|\b[a-z]{1,2}\d[a-z\d]? \d[a-z]{2}\b"
        r"|\bgb ?\d{9}\b|\bhmrc\b"
    ),
    "IN": (
        r"\bindia\b|\bgstin\b|\bcgst\b|\bsgst\b|\bigst\b|\b\d{2}[a-z]{5}\d{4}[a-z]\dz[a-z\d]\b"
        r"|\bcst\b.*\btin\b"
    ),
    "CA": r"\bcanada\b|\b[abceghj-nprstvxy]\d[a-z] \d[a-z]\d\b|\bgst/hst\b",
    "AU": r"\baustralia\b|\babn:? ?\d{2} ?\d{3}\b|\b(?:nsw|vic|qld|tas) \d{4}\b",
    "NZ": r"\bnew zealand\b",
    "HK": r"\bhong kong\b",
    "SG": r"\bsingapore\b",
    "CH": r"\bschweiz\b|\bsuisse\b|\bsvizzera\b|\bswitzerland\b|\bche-?\d{3}|\bch-\d{4}\b",
    "DE": r"\bdeutschland\b|\bgermany\b|\bust-?id|\bd-\d{5}\b|\bhrb \d+|\bamtsgericht\b",
    "AT": r"\bosterreich\b|\baustria\b|\ba-\d{4} \w|\batu\d{8}\b",
    "FR": r"\bfrance\b|\bsiret\b|\bsiren\b|\br\.?c\.?s\.? |\bcedex\b",
    "IT": r"\bitalia\b|\bitaly\b|\bpartita iva\b|\bp\. ?iva\b|\bcodice fiscale\b",
    "ES": r"\bespana\b|\bspain\b|\bc\.?i\.?f\.?:? ?[a-z]\d{8}\b|\bn\.?i\.?f\.?:? ?[a-z]?\d{7,8}",
    "PT": r"\bportugal\b|\bcontribuinte\b",
    "NL": r"\bnederland\b|\bnetherlands\b|\bkvk\b|\bnl ?\d{9} ?b ?\d{2}\b",
    "BE": r"\bbelgie\b|\bbelgique\b|\bbelgium\b|\bbe ?0\d{3}[. ]?\d{3}",
    "LU": r"\bluxembourg\b",
    "IE": r"\bireland\b|\bdublin\b",
    "SE": r"\bsverige\b|\bsweden\b|\borg\.? ?nr\b.*\bbankgiro\b|\bplusgiro\b",
    "DK": r"\bdanmark\b|\bdenmark\b|\bcvr\b",
    "NO": r"\bnorge\b|\bnorway\b|\bforetaksregisteret\b",
    "FI": r"\bsuomi\b|\bfinland\b|\by-tunnus\b",
    "PL": r"\bpolska\b|\bpoland\b|\bnip:? ?[\d-]{10,13}\b",
    "CZ": r"\bceska republika\b|\bczech\b|\bdic:? ?cz\d",
    "JP": r"\bjapan\b",
    "CN": r"\bchina\b",
    "MX": r"\bmexico\b",
    "TW": r"\btaiwan\b",
}
_COUNTRY_PATTERNS = tuple((country, re.compile(pattern)) for country, pattern in _COUNTRY_SIGNS.items())

#: Something that may be a VAT number: two letters and what follows, blanks and dots inside allowed.
VAT_LIKE = re.compile(r"(?<![A-Za-z0-9])([A-Z]{2}[ .-]?(?:[A-Z0-9]{1,12}[ .-]?){1,5})(?![a-z0-9])")
_NUMBERS = re.compile(r"(?<![\w.,/:-])(?>\d+(?:[.,'’]\d+)*)(?![\w/:-])(?![ ]?%)")


def clues_of(document: Document) -> Clues:
    """Gather what a document says about itself; all of it only hints for what has two readings."""
    folded, text = document.folded, document.text
    languages = _languages(folded)
    countries = [country for country, pattern in _COUNTRY_PATTERNS if pattern.search(folded)]
    for number in vat_numbers(text):
        country = "GR" if number[:2] == "EL" else number[:2]
        if country not in countries:
            countries.append(country)
    return Clues(
        language=languages[0],
        languages=languages,
        countries=tuple(countries),
        decimal_mark=_mark(_NUMBERS.findall(text), languages, countries),
        currencies=named_currencies(text, folded),
    )


def _mark(numbers: list[str], languages: tuple[str, ...], countries: list[str]) -> DecimalMark | None:
    """The decimal mark that the numbers show; else that of the language, if no number speaks against it."""
    shown = decimal_mark(numbers)
    if shown is not None or "CH" in countries:
        return shown
    mark: DecimalMark = "." if languages == ("en",) else ","
    if mark == "," and "en" in languages:
        return None
    other = "," if mark == "." else r"\."
    return (
        None
        if any(re.search(rf"^0{other}\d|{other}\d{{1,2}}$|{other}\d{{4}}", one) for one in numbers)
        else mark
    )


def vat_numbers(text: str) -> list[str]:
    """The European VAT numbers in a text whose form and check digits are right, in their compact form."""
    found: list[str] = []
    for match in VAT_LIKE.finditer(text):
        raw = re.sub(r"[ .-]", "", match[1])
        # A following word may hang on to the number: try the whole and then ever shorter beginnings.
        for end in range(min(len(raw), 14), 9, -1):
            if eu_vat.is_valid(raw[:end]):
                if raw[:end] not in found:
                    found.append(raw[:end])
                break
    return found


def _languages(folded: str) -> tuple[str, ...]:
    counts = Counter(re.findall(r"[a-z]+", folded))
    scores = {
        language: sum(min(counts[word], 6) * (1 if len(word) < 3 else 2) for word in words)
        for language, words in _VOCABULARY.items()
    }
    best = max(scores.values())
    if best == 0:
        return ("en",)
    ordered = sorted(scores, key=lambda language: -scores[language])
    return tuple(language for language in ordered if scores[language] * 2 > best)

"""Who sent the invoice: its name among all the names on the page, and its VAT number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .clues import vat_numbers
from .document import Cell, Document, Line, Reading, fold
from .facts import Fact, SupplierFacts
from .invoice_number import find_number

#: The endings that make a name a company's.
LEGAL_FORM = re.compile(
    r"(?<![\w.])(?:gmbh(?: ?& ?co\.? ?kg(?:aa)?)?|ag|kg|kgaa|ohg|ug(?: ?\(haftungsbeschrankt\))?"
    r"|e\.? ?k(?:fm)?\.?|e\.? ?u\.|se|ltd\.?"
    r"|limited|plc|llp|llc|l\.l\.c\.|inc\.?|incorporated|corp\.?|corporation|co\.|company|pvt\.? ?ltd\.?"
    r"|private limited|pty\.?"
    r"|s\.?a\.?r\.?l\.?|s\.?a\.?s\.?u?\.?|s\.a\.|sa|eurl|sasu|sarl|scop|s\.?p\.?a\.?|s\.?r\.?l\.?s?\.?"
    r"|s\.?n\.?c\.?|s\.?a\.?s\.?"
    r"|s\.?l\.?u?\.|s\.l\.|slu|sl|b\.?v\.?(?:b\.?a\.?)?|n\.?v\.?|v\.?o\.?f\.?|lda\.?|ltda\.?|unipessoal|ab"
    r"|a/s|aps|as|asa|oy(?:j)?"
    r"|sp\. ?z ?o\. ?o\.|s\.? ?a\.|s\.r\.o\.|a\.s\.|spol\.|kft\.?|zrt\.?|nyrt\.?|s\.c\.|d\.o\.o\.|bhd\.?"
    r"|pte\.? ?ltd\.?|k\.k\.|cic)(?![\w])"
)
_SENDER = re.compile(
    r"(?<![a-z])(?:sold by|seller|from|vendor|supplier|service provider|billed by|issued by|bill from"
    r"|provider|merchant|verkaufer"
    r"|lieferant|leistungserbringer|rechnungssteller|absender|anbieter|fournisseur|vendeur|emetteur"
    r"|prestataire|vendu par|proveedor"
    r"|emisor|vendedor|vendido por|fornitore|venditore|emittente|cedente|leverancier|verkoper|afzender"
    r"|fornecedor|emitente|saljare"
    r"|leverandor|sprzedawca|wystawca|dodavatel|toimittaja|myyja|elado|szallito|furnizor|remit to|pay to"
    r"|payable to)\b *:?"
)
_RECEIVER = re.compile(
    r"(?<![a-z])(?:(?:bill(?:ed)?|ship(?:ped)?|sold|invoiced?|deliver(?:ed)?)(?: |-)?to|billing (?:address"
    r"|details|information)"
    r"|shipping (?:address|details)|customer(?: name| details| address)?|client|buyer|recipient"
    r"|account holder|attn|attention|guest"
    r"|passenger|kunde|rechnung an|rechnungsadresse|rechnungsanschrift|rechnungsempfanger|lieferadresse"
    r"|lieferanschrift|empfanger"
    r"|auftraggeber|besteller|kaufer|client|adresse de (?:facturation|livraison)|destinataire|facture a"
    r"|livre a|acheteur|titulaire"
    r"|cliente|facturar a|enviar a|destinatario|comprador|direccion de (?:facturacion|envio)"
    r"|spett\.?(?:le)?|intestatario"
    r"|cessionario|klant|factuuradres|afleveradres|bezorgadres|aan|t\.a\.v|kopare|fakturaadress|kund"
    r"|modtager|kunde|nabywca|odberatel"
    r"|asiakas|vevo|cumparator|to)\b *:?"
)
_NOT_A_NAME = re.compile(
    r"\b(?:invoice|page|date|number|total|amount|tax|vat|qty|phone|tel|fax|email|e-mail|www|http|iban|bic"
    r"|swift|bank|seite|datum"
    r"|rechnung|facture|factura|fattura|factuur|fatura|address|adresse|order|street|road|order|account"
    r"|receipt|bill|summary|original"
    r"|duplicate|copy|kopie|terms|please|thank|due|bezahlt|paid)\b|@|\d{4,}"
)
_TITLE_WORDS = re.compile(
    r"\b(?:(?:retail |tax |commercial |your |sales |proforma |vat )?(?:invoice|receipt|bill)s?|rechnung"
    r"|facture|factura|fattura"
    r"|factuur|fatura|faktura|rekening|de vente|original(?: for recipient)?)\b"
)
_TABLE_HEAD = re.compile(
    r"(?:(?:description|item|qty|quantity|units?|hours?|hrs|rate|price|cost|amount|line|total|sub|net|gross"
    r"|service|product|article|details?|particulars|activity|title|code|no|nr|ref|reference|sku|hsn|sac|unit"
    r"|pos|position|beschreibung|bezeichnung|artikel|artikelnummer|leistung|leistungen|menge|anzahl|einheit|stk"
    r"|stuck|std|stunden|preis|einzelpreis|gesamtpreis|gesamt|betrag|summe|ep|gp|designation|libelle"
    r"|quantite|qte|prix|unitaire|montant|ht|ttc|descripcion|concepto|articulo|cantidad|cant|precio|unitario"
    r"|importe|descrizione|articolo|quantita|qta|prezzo|importo|totale|omschrijving|aantal|stuks|prijs"
    r"|stuksprijs|bedrag|totaal|descricao|designacao|quantidade|qtd|preco|valor|beskrivning|benamning"
    r"|beskrivelse|antal|a-pris|pris|belopp|belob|belop|enhet|nazwa|ilosc|cena|wartosc|popis|mnozstvi|celkem"
    r"|kuvaus|tuote|maara|hinta|yhteensa|megnevezes|mennyiseg|egysegar|denumire|pret|valoare|discount|remise"
    r"|rabatt|korting|tax|vat|gst|tva|iva|mwst|ust|btw|moms|eur|usd|gbp|chf|of|the|per|de|des|du|der|van|and)s?"
    r"(?:[^a-z0-9]+|$))+"
)
_DOMAIN = re.compile(
    r"(?:www\.|https?://(?:www\.)?|@)([a-z0-9][a-z0-9-]{1,40})((?:\.[a-z0-9-]{2,24}){1,3})", re.IGNORECASE
)
_FREE_MAIL = frozenset(
    [
        "gmail",
        "hotmail",
        "outlook",
        "yahoo",
        "gmx",
        "web",
        "icloud",
        "aol",
        "googlemail",
        "live",
        "t-online",
        "orange",
        "free",
        "wanadoo",
    ]
)


@dataclass(frozen=True, slots=True)
class _Name:
    text: str
    line: int
    score: float
    why: str


def find_supplier(reading: Reading) -> SupplierFacts:
    """Read who issued the invoice and under which number."""
    if reading.kind == "unreadable":
        return SupplierFacts()
    return SupplierFacts(supplier=_supplier(reading), number=find_number(reading), vat_id=_vat_id(reading))


def supplier_key(name: str) -> str:
    """The name without case, accents, punctuation and legal form: one supplier, one key."""
    folded = LEGAL_FORM.sub(" ", fold(name))
    return re.sub(r"[^a-z0-9]+", "", folded) or re.sub(r"[^a-z0-9]+", "", fold(name))


def heads_a_table(name: str) -> bool:
    """Whether a name is made of nothing but words that head the columns of a table: "Item description"."""
    return _TABLE_HEAD.fullmatch(fold(name).strip(" .:#*|/(-")) is not None


def _supplier(document: Document) -> Fact[str]:
    merged: dict[str, list[_Name]] = {}
    for name in _names(document):
        key = supplier_key(name.text)
        if len(key) > 1:
            merged.setdefault(key, []).append(name)
    if not merged:
        return _by_domain(document)
    domains = _domains(document)
    scores: dict[str, float] = {}
    for key, names in merged.items():
        known = any(len(domain) > 3 and (domain in key or key in domain) for domain in domains)
        scores[key] = (
            max(name.score for name in names) + 0.4 * min(len(names) - 1, 3) + (2.0 if known else 0.0)
        )
    ordered = sorted(scores, key=lambda key: -scores[key])
    if scores[ordered[0]] < 1.0:
        by_domain = _by_domain(document)
        if by_domain.value is not None:
            return by_domain
    best = max(
        merged[ordered[0]], key=lambda name: (LEGAL_FORM.search(fold(name.text)) is not None, name.score)
    )
    line = document.lines[best.line]
    return Fact[str](
        value=best.text,
        confidence=round(min(0.95, 0.3 + 0.13 * scores[ordered[0]]), 2),
        page=line.page,
        printed=line.text.replace("\t", "  "),
        considered=tuple(merged[key][0].text for key in ordered[1:5]),
        why=best.why,
    )


def _names(document: Document) -> Iterator[_Name]:
    """Everything that may be the sender's name, with a score for how much speaks for it."""
    taken = _receiver_cells(document)
    table = _first_table(document)
    for index, line in enumerate(document.lines):
        for position, cell in enumerate(line.cells):
            folded = line.folded[cell.start : cell.end]
            sender = _SENDER.search(folded)
            if sender is not None and _labels(folded, sender):
                yield from _after_label(document, index, cell, sender.end())
            if (index, position) in taken:
                continue
            yield from _company(line, index, cell)
            if index < table:
                yield from _letterhead(document, index, cell)


def _first_table(document: Document) -> int:
    """The line of the first row of column heads: no letterhead stands there or under it."""
    for index, line in enumerate(document.lines):
        if len(line.cells) > 1 and sum(heads_a_table(cell.text) for cell in line.cells) * 2 > len(line.cells):
            return index
    return len(document.lines)


def _labels(folded: str, sender: re.Match[str]) -> bool:
    """Whether a word for the sender is a label here and not part of a sentence."""
    alone = folded[sender.end() :].strip() == "" or sender[0].endswith(":") or " " in sender[0].strip(" :")
    return alone and sender.start() < 4


def _after_label(document: Document, index: int, cell: Cell, end: int) -> Iterator[_Name]:
    rest = cell.text[end:].strip(" :,-")
    if rest:
        name = _trim(rest)
        if _plausible(name):
            yield _Name(name, index, 4.0, "named as the sender")
        return
    for line in document.below(index):
        below = next(
            (other for other in line.cells if other.x0 < cell.x1 + 40 and other.x1 > cell.x0 - 10), None
        )
        if below is None:
            continue
        name = _trim(below.text)
        if _plausible(name) and (
            LEGAL_FORM.search(fold(name)) or line.top - document.lines[index].bottom < 25
        ):
            yield _Name(name, document.lines.index(line), 3.5, "named as the sender")
            return
        if line.top - document.lines[index].bottom > 25:
            return


def _company(line: Line, index: int, cell: Cell) -> Iterator[_Name]:
    """A name with a legal form: "WS Retail Services Pvt. Ltd.", "Free SAS au capital de ..."."""
    folded = line.folded[cell.start : cell.end]
    for form in LEGAL_FORM.finditer(folded):
        if cell.text[form.start() : form.end()].islower():
            continue
        end = _whole_form(folded, form)
        head = cell.text[:end]
        name = re.split(r"[,;|•:]\s+(?!ltd|inc|llc)|\s[-–]\s|(?<=\w)\s{2,}", head, flags=re.IGNORECASE)[-1]
        name = (
            re.sub(r"^.*\b(?:sold by|by|of|from|by|von|par|de la|to)\s+(?=[A-Z])", "", name)
            .lstrip(" ,.-–|*†")
            .rstrip(" ,-–|")
        )
        words = [word for word in re.split(r"\s+", name) if word]
        while words and words[0][:1].islower():
            words.pop(0)
        name = " ".join(words)
        capital = name[: len(name) - (end - form.start())].strip()
        if (
            len(words) >= 2
            and len(words) <= 8
            and capital[:1].isupper() | capital[:1].isdigit()
            and _plausible(name)
        ):
            after = folded[end : end + 40]
            registered = re.search(r"capital|\brcs\b|hrb|regist|siege|sede|vat|ust", after) is not None
            yield _Name(name, index, 2.0 + (1.0 if registered else 0.0), "a company's name")
            return


def _letterhead(document: Document, index: int, cell: Cell) -> Iterator[_Name]:
    """What stands at the top of the first page, or a title that carries the name."""
    line = document.lines[index]
    if line.page != 1 or index > 8:
        return
    folded = line.folded[cell.start : cell.end]
    bare = _TITLE_WORDS.sub("", folded).strip(" -:/")
    if re.search(r"[a-z]{3}", bare) is None:
        return
    name = cell.text.strip(" -:|")
    if bare != folded.strip(" -:/"):
        at = folded.find(bare)
        name = cell.text[at : at + len(bare)].strip(" -:|")
    name = _trim(name)
    if _plausible(name) and len(name.split()) <= 6 and not name.endswith((".", ":")):
        size = line.bottom - line.top
        yield _Name(name, index, 1.3 - 0.12 * index + (0.6 if size > 13 else 0.0), "at the head of the page")


def _receiver_cells(document: Document) -> set[tuple[int, int]]:
    """The cells of the addressee's block: the label and what stands under it."""
    taken: set[tuple[int, int]] = set()
    for index, line in enumerate(document.lines):
        for position, cell in enumerate(line.cells):
            folded = line.folded[cell.start : cell.end].strip()
            label = _RECEIVER.match(folded)
            if label is None:
                continue
            taken.add((index, position))
            left = min((o.x0 for o in line.cells if o.x0 > cell.x1), default=1e9)
            edge = line.bottom
            for offset, below in enumerate(document.lines[index + 1 : index + 9], start=index + 1):
                if below.page != line.page or below.top - edge > 22:
                    break
                for place, other in enumerate(below.cells):
                    if cell.x0 - 12 <= other.x0 < max(cell.x1, min(cell.x0 + 90, left - 5)):
                        taken.add((offset, place))
                        edge = below.bottom
    return taken


def _trim(text: str) -> str:
    """A name without what follows it on the line: an address, a number, a second column."""
    text = re.split(r"\s[-–|•·]\s|\t|\s{2,}|;|:", text.strip())[0]
    form = LEGAL_FORM.search(fold(text))
    if form is not None:
        return text[: _whole_form(fold(text), form)].strip(" ,-")
    return text.split(",")[0].strip(" ,.-*")


def _whole_form(folded: str, form: re.Match[str]) -> int:
    """Where a legal form of several words ends: "Co., Ltd.", "GmbH & Co. KG"."""
    following = LEGAL_FORM.match(folded, form.end()) or LEGAL_FORM.search(folded, form.end(), form.end() + 12)
    while following is not None and re.fullmatch(r"[ ,&.]{0,3}", folded[form.end() : following.start()]):
        form = following
        following = LEGAL_FORM.search(folded, form.end(), form.end() + 12)
    return form.end()


def _plausible(name: str) -> bool:
    return (
        2 <= len(name) <= 60
        and name[0] not in '(*"'
        and re.search(r"[^\W\d]{2}", name) is not None
        and not _NOT_A_NAME.search(fold(name))
        and not heads_a_table(name)
    )


def _domains(document: Document) -> list[str]:
    """The web and mail domains of the document, without those of the mail providers."""
    found = [match[1].lower().replace("-", "") for match in _DOMAIN.finditer(document.text)]
    return [domain for domain in dict.fromkeys(found) if domain not in _FREE_MAIL or found.count(domain) > 1]


def _by_domain(document: Document) -> Fact[str]:
    for match in _DOMAIN.finditer(document.text):
        if match[1].lower() not in _FREE_MAIL:
            return Fact[str](
                value=f"{match[1]}{match[2]}".lower(), confidence=0.3, why="from a web or mail address"
            )
    return Fact[str](why="no name of a sender was found")


def _vat_id(document: Document) -> Fact[str]:
    """The first valid VAT number that does not stand in the addressee's block."""
    taken = {index for index, _ in _receiver_cells(document)}
    fallback: str | None = None
    for index, line in enumerate(document.lines):
        for number in vat_numbers(line.text):
            if index not in taken:
                return Fact[str](
                    value=number,
                    confidence=0.8,
                    page=line.page,
                    printed=line.text,
                    why="its check digits are right",
                )
            fallback = fallback or number
    if fallback is None:
        return Fact[str](why="no valid VAT number was found")
    return Fact[str](considered=(fallback,), why="the only VAT number is the addressee's")

"""Invented invoices in many layouts, languages and currencies, each with the facts that it states.

`amount`, `net`, `tax`, `date` and so on are what a careful person would read. `proved` is True where the
page itself confirms the amount, False where it must go to a person, None where either is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from examples.invoice_intake.drawing import A4, LETTER, Text, block, draw_pdf, rows


@dataclass(frozen=True)
class Layout:
    """A drawn invoice and its facts; None is a fact that cannot be read."""

    name: str
    pages: tuple[Sequence[Text], ...]
    supplier: str | None = None
    number: str | None = None
    issued: date | None = None
    due: date | None = None
    currency: str | None = None
    net: str | None = None
    tax: str | None = None
    gross: str | None = None
    lines: int | None = None
    proved: bool | None = True
    kind: str = "invoice"
    size: tuple[float, float] = A4

    def pdf(self) -> bytes:
        """The invoice as a PDF file."""
        return draw_pdf(self.pages, size=self.size)

    def amount(self) -> Decimal | None:
        """The gross amount as a number."""
        return None if self.gross is None else Decimal(self.gross)


LAYOUTS: list[Layout] = []


def layout(make: Callable[[], Layout]) -> Callable[[], Layout]:
    """Add a layout to the list."""
    LAYOUTS.append(make())
    return make


@layout
def english_with_totals_on_the_right() -> Layout:
    page = [
        Text(50, 60, "Brightwater Tools Ltd", 18, bold=True),
        *block(50, 80, ["12 Canal Street", "Leeds LS1 4AB", "VAT Reg No GB 123 4567 89", "Tel 0113 496 0000"]),
        Text(400, 60, "INVOICE", 20, bold=True),
        *rows(90, [("Invoice No:", "BT-20417"), ("Invoice date:", "14 March 2021"), ("Due date:", "13 April 2021")], (380, 470)),
        *block(50, 160, ["Bill to", "Harbour Cafe Ltd", "3 Quay Road", "Whitby YO21 1AA"]),
        *rows(
            250,
            [
                ("Description", "Qty", "Unit price", "Amount"),
                ("Torque wrench", "2", "45.00", "90.00"),
                ("Socket set", "1", "120.50", "120.50"),
                ("Work gloves", "10", "3.25", "32.50"),
            ],
            (50, 350, 440, 540),
            right="123",
        ),
        *rows(350, [("Subtotal", "£243.00"), ("VAT @ 20%", "£48.60"), ("Total", "£291.60")], (400, 540), right="1"),
        Text(50, 450, "Payment within 30 days. Sort code 20-00-00, account 12345678.", 8),
    ]
    return Layout(
        "english_right", (page,), "Brightwater Tools Ltd", "BT-20417", date(2021, 3, 14), date(2021, 4, 13),
        "GBP", "243.00", "48.60", "291.60", 3,
    )  # fmt: skip


@layout
def german_two_rates() -> Layout:
    page = [
        Text(50, 50, "Bäckerei Sonnenschein GmbH & Co. KG · Lindenweg 4 · 79098 Freiburg", 7),
        *block(50, 80, ["Café am Markt", "Frau Petra Muster", "Marktplatz 1", "79098 Freiburg"], size=10),
        *rows(90, [("Rechnungsnummer", "2022-00318"), ("Rechnungsdatum", "05.02.2022"), ("Lieferdatum", "01.02.2022"),
                   ("Kundennummer", "10077")], (370, 480)),
        Text(50, 190, "Rechnung", 16, bold=True),
        *rows(
            230,
            [
                ("Pos", "Bezeichnung", "Menge", "Einzelpreis", "MwSt", "Gesamt"),
                ("1", "Brötchen", "400", "0,28", "7%", "112,00"),
                ("2", "Butterbrezel", "100", "0,90", "7%", "90,00"),
                ("3", "Leihgeschirr", "1", "1.050,00", "19%", "1.050,00"),
            ],
            (50, 80, 330, 410, 460, 545),
            right="2345",
        ),
        *rows(
            330,
            [
                ("Summe netto", "1.252,00 €"),
                ("zzgl. 7% MwSt auf 202,00", "14,14 €"),
                ("zzgl. 19% MwSt auf 1.050,00", "199,50 €"),
                ("Rechnungsbetrag", "1.465,64 €"),
            ],
            (330, 545),
            right="1",
        ),
        Text(50, 430, "Zahlbar bis 19.02.2022 ohne Abzug auf IBAN DE02 1203 0000 0000 2020 51.", 9),
        Text(50, 790, "Bäckerei Sonnenschein GmbH & Co. KG  Amtsgericht Freiburg HRA 12345  USt-IdNr. DE136695976", 7),
    ]  # fmt: skip
    return Layout(
        "german_two_rates", (page,), "Bäckerei Sonnenschein GmbH & Co. KG", "2022-00318", date(2022, 2, 5),
        date(2022, 2, 19), "EUR", "1252.00", "213.64", "1465.64", 3,
    )  # fmt: skip


@layout
def french_with_spaces_and_boxes() -> Layout:
    page = [
        Text(50, 60, "Atelier Lumière SARL", 15, bold=True),
        *block(50, 76, ["8 rue des Lilas", "69003 Lyon", "SIRET 552 100 554 00013"]),
        Text(330, 60, "FACTURE N° FA2023-0712", 13, bold=True),
        Text(330, 80, "Lyon, le 12 juillet 2023"),
        *block(330, 120, ["Mairie de Villefranche", "1 place du Marché", "69400 Villefranche"]),
        *rows(
            220,
            [
                ("Désignation", "Quantité", "P.U. HT", "Montant HT"),
                ("Lampadaire rue", "4", "1 250,00", "5 000,00"),
                ("Pose et réglage", "6", "85,50", "513,00"),
            ],
            (50, 350, 440, 545),
            right="123",
        ),
        *rows(
            400,
            [("Total HT", "TVA 20 %", "Total TTC", "Net à payer"), ("5 513,00 €", "1 102,60 €", "6 615,60 €", "6 615,60 €")],
            (200, 310, 430, 545),
            right="0123",
        ),
        Text(50, 460, "Échéance : 11/08/2023 — Règlement par virement. Pas d'escompte pour paiement anticipé.", 8),
        Text(50, 790, "SARL au capital de 80 000,00 € - RCS Lyon B 552 100 554 - TVA FR40303265045", 7),
    ]
    return Layout(
        "french_boxes", (page,), "Atelier Lumière SARL", "FA2023-0712", date(2023, 7, 12), date(2023, 8, 11),
        "EUR", "5513.00", "1102.60", "6615.60", 2,
    )  # fmt: skip


@layout
def swiss_with_apostrophes() -> Layout:
    page = [
        Text(50, 60, "Alpenblick Informatik AG", 14, bold=True),
        *block(50, 76, ["Bahnhofstrasse 7", "CH-8001 Zürich", "CHE-123.456.788 MWST"]),
        *block(350, 120, ["Gemeinde Muster", "Dorfstrasse 1", "6300 Zug"]),
        Text(50, 200, "Rechnung Nr. 77120", 14, bold=True),
        *rows(225, [("Datum:", "3. Oktober 2022"), ("Zahlbar bis:", "2. November 2022")], (50, 130)),
        *rows(
            280,
            [
                ("Leistung", "Std.", "Ansatz", "Betrag CHF"),
                ("Beratung", "12.5", "180.00", "2'250.00"),
                ("Server", "1", "3'400.00", "3'400.00"),
            ],
            (50, 300, 400, 540),
            right="123",
        ),
        *rows(340, [("Zwischentotal", "5'650.00"), ("MWST 7.7%", "435.05"), ("Rundung", "0.00"), ("Total CHF", "6'085.05")],
              (350, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "swiss", (page,), "Alpenblick Informatik AG", "77120", date(2022, 10, 3), date(2022, 11, 2),
        "CHF", "5650.00", "435.05", "6085.05", 2,
    )  # fmt: skip


@layout
def american_with_slashes() -> Layout:
    page = [
        Text(50, 60, "Redwood Supply Inc.", 16, bold=True),
        *block(50, 78, ["400 Mission Ave", "San Rafael, CA 94901", "USA"]),
        *rows(60, [("INVOICE #", "DATE"), ("10-8841", "08/26/2020")], (380, 480), step=16),
        *rows(110, [("TERMS", "DUE DATE"), ("Net 30", "09/25/2020")], (380, 480), step=16),
        *block(50, 150, ["BILL TO", "Pinecone LLC", "9 Elm Street", "Reno, NV 89501"]),
        *rows(
            250,
            [
                ("QTY", "ITEM", "RATE", "AMOUNT"),
                ("3", "Cedar plank", "12.00", "36.00"),
                ("1", "Delivery", "15.00", "15.00"),
            ],
            (50, 100, 440, 560),
            right="23",
        ),
        *rows(320, [("SUBTOTAL", "51.00"), ("SALES TAX (8.25%)", "4.21"), ("TOTAL", "$55.21"), ("BALANCE DUE", "$55.21")],
              (400, 560), right="1"),
    ]  # fmt: skip
    return Layout(
        "american", (page,), "Redwood Supply Inc.", "10-8841", date(2020, 8, 26), date(2020, 9, 25), "USD",
        "51.00", "4.21", "55.21", 2, size=LETTER,
    )  # fmt: skip


@layout
def dutch_including_tax() -> Layout:
    page = [
        Text(50, 60, "Fietsenhuis De Bel B.V.", 15, bold=True),
        *block(50, 78, ["Kerkstraat 12", "3511 AB Utrecht", "KvK 30123456", "BTW NL004495445B01"]),
        Text(380, 60, "Factuur", 18, bold=True),
        *rows(90, [("Factuurnummer", "F-19-0455"), ("Factuurdatum", "07-06-2019"), ("Klantnummer", "8841")], (380, 470)),
        *rows(
            220,
            [("Omschrijving", "Aantal", "Prijs", "Bedrag"), ("Stadsfiets", "1", "€ 499,00", "€ 499,00"),
             ("Fietstas", "2", "€ 24,95", "€ 49,90")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(300, [("Totaal exclusief btw", "€ 453,64"), ("21% btw", "€ 95,26"), ("Totaal inclusief btw", "€ 548,90"),
                    ("Betaald met iDEAL", "€ 548,90"), ("Nog te betalen", "€ 0,00")], (330, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "dutch_paid", (page,), "Fietsenhuis De Bel B.V.", "F-19-0455", date(2019, 6, 7), None, "EUR",
        "453.64", "95.26", "548.90", 2,
    )  # fmt: skip


@layout
def spanish_over_two_pages() -> Layout:
    items = [(f"Servicio {n}", "1", "100,00", "100,00") for n in range(1, 16)]
    head = ("Concepto", "Cantidad", "Precio", "Importe")
    first = [
        Text(50, 60, "Construcciones Olivo S.L.", 14, bold=True),
        *block(50, 76, ["Calle Mayor 5", "28013 Madrid", "CIF: B58378431"]),
        *rows(60, [("Factura nº:", "2021/0087"), ("Fecha:", "28/12/2021"), ("Vencimiento:", "27/01/2022")], (360, 450)),
        *block(50, 140, ["Cliente:", "Hotel Sol S.A.", "Av. del Mar 2", "Málaga"]),
        *rows(230, [head, *items[:10]], (50, 330, 430, 540), right="123"),
        *rows(420, [("Suma y sigue", "1.000,00")], (400, 540), right="1"),
    ]
    second = [
        *rows(60, [head, *items[10:]], (50, 330, 430, 540), right="123"),
        *rows(200, [("Base imponible", "1.500,00 €"), ("IVA 21%", "315,00 €"), ("IRPF", "0,00 €"), ("TOTAL FACTURA", "1.815,00 €")],
              (380, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "spanish_pages", (first, second), "Construcciones Olivo S.L.", "2021/0087", date(2021, 12, 28),
        date(2022, 1, 27), "EUR", "1500.00", "315.00", "1815.00", 15,
    )  # fmt: skip


@layout
def italian_with_tax_table() -> Layout:
    page = [
        Text(50, 60, "Officina Ferrari Bruno S.r.l.", 14, bold=True),
        *block(50, 76, ["Via Roma 10", "40121 Bologna", "P. IVA IT00743110157"]),
        *block(350, 76, ["Spett.le", "Trasporti Blu S.p.A.", "Via Po 3", "10121 Torino"]),
        Text(50, 170, "FATTURA n. 145 del 30/09/2020", 12, bold=True),
        *rows(
            210,
            [("Descrizione", "Q.tà", "Prezzo", "Importo"), ("Tagliando", "1", "240,00", "240,00"), ("Olio", "5", "12,40", "62,00")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(
            300,
            [("Aliquota", "Imponibile", "Imposta"), ("22%", "302,00", "66,44")],
            (60, 180, 280),
            right="12",
        ),
        *rows(300, [("Totale imponibile", "302,00"), ("Totale IVA", "66,44"), ("Totale fattura EUR", "368,44")], (370, 540), right="1"),
        Text(50, 420, "Scadenza: 30/10/2020  Bonifico bancario  IBAN IT60X0542811101000000123456", 8),
    ]
    return Layout(
        "italian", (page,), "Officina Ferrari Bruno S.r.l.", "145", date(2020, 9, 30), date(2020, 10, 30), "EUR",
        "302.00", "66.44", "368.44", 2,
    )  # fmt: skip


@layout
def portuguese() -> Layout:
    page = [
        Text(50, 60, "Papelaria Central, Lda", 14, bold=True),
        *block(50, 76, ["Rua Augusta 22", "1100-053 Lisboa", "Contribuinte PT501964843"]),
        Text(350, 60, "Fatura FT 2020/318", 13, bold=True),
        *rows(85, [("Data de emissão", "2020-11-09"), ("Data de vencimento", "2020-12-09")], (350, 460)),
        *rows(
            200,
            [("Descrição", "Quantidade", "Preço unit.", "Total"), ("Papel A4", "20", "3,10", "62,00"), ("Toner", "2", "49,00", "98,00")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(280, [("Total ilíquido", "160,00 €"), ("IVA 23%", "36,80 €"), ("Total a pagar", "196,80 €")], (380, 540), right="1"),
    ]
    return Layout(
        "portuguese", (page,), "Papelaria Central, Lda", "FT 2020/318", date(2020, 11, 9), date(2020, 12, 9), "EUR",
        "160.00", "36.80", "196.80", 2,
    )  # fmt: skip


@layout
def indian_with_two_taxes_and_lakhs() -> Layout:
    page = [
        Text(220, 50, "TAX INVOICE", 14, bold=True),
        Text(40, 80, "Sold By: Lotus Electronics Pvt. Ltd.", 10),
        *block(40, 96, ["Plot 14, Hitech City, Hyderabad 500081, India", "GSTIN: 36AABCL1234M1Z5"]),
        *rows(80, [("Invoice Number :", "LE/22-23/00917"), ("Invoice Date :", "09-05-2022"), ("Order Date :", "07-05-2022")], (360, 470)),
        *rows(
            200,
            [
                ("Description", "HSN", "Qty", "Rate", "Taxable Value", "CGST 9%", "SGST 9%", "Total"),
                ("LED wall 85in", "8528", "1", "1,25,000.00", "1,25,000.00", "11,250.00", "11,250.00", "1,47,500.00"),
                ("Mount", "8302", "2", "1,500.00", "3,000.00", "270.00", "270.00", "3,540.00"),
                ("Total", "", "3", "", "1,28,000.00", "11,520.00", "11,520.00", "1,51,040.00"),
            ],
            (40, 150, 205, 280, 355, 420, 485, 560),
            right="234567",
            size=8,
        ),
        *rows(300, [("Taxable amount", "1,28,000.00"), ("CGST", "11,520.00"), ("SGST", "11,520.00"), ("Grand Total (INR)", "1,51,040.00")],
              (380, 560), right="1"),
        Text(40, 390, "Amount in words: Rupees one lakh fifty one thousand forty only", 8),
    ]  # fmt: skip
    return Layout(
        "indian_gst", (page,), "Lotus Electronics Pvt. Ltd.", "LE/22-23/00917", date(2022, 5, 9), None, "INR",
        "128000.00", "23040.00", "151040.00", 2,
    )  # fmt: skip


@layout
def hotel_bill_with_discount_and_rupees() -> Layout:
    page = [
        Text(50, 60, "Sunrise Stays Private Limited", 12, bold=True),
        Text(50, 80, "INVOICE"),
        *rows(100, [("Invoice No.", "SS8841207"), ("Date", "31 Dec 2017"), ("Check-in", "30 Dec 2017"), ("Check-out", "31 Dec 2017")], (50, 150)),
        *rows(
            190,
            [("Room charges", "Rs 2,200.00"), ("Discount", "- Rs 334.00"), ("Luxury tax", "Rs 73.00"), ("Grand Total", "Rs 1,939.00"),
             ("Amount Paid", "Rs 1,939.00"), ("Balance Due", "Rs 0.00")],
            (50, 300),
            right="1",
        ),
        Text(50, 320, "Bengaluru, India", 8),
    ]  # fmt: skip
    return Layout(
        "hotel", (page,), "Sunrise Stays Private Limited", "SS8841207", date(2017, 12, 31), None, "INR",
        "2200.00", "73.00", "1939.00", None, proved=None,
    )  # fmt: skip


@layout
def label_over_value_in_a_strip() -> Layout:
    page = [
        Text(50, 50, "Northwind Telecom plc", 15, bold=True),
        *rows(90, [("Account number", "Bill number", "Bill date", "Please pay by"), ("900 112", "B7741190", "2 Feb 2018", "16 Feb 2018")],
              (50, 180, 310, 430), step=14),
        Text(50, 150, "Your bill", 16, bold=True),
        *rows(180, [("Line rental", "£20.00"), ("Calls", "£5.25"), ("Total excluding VAT", "£25.25"), ("VAT at 20%", "£5.05"),
                    ("Total to pay", "£30.30")], (50, 400), right="1"),
        Text(50, 300, "We will take £30.30 from your bank account on 16 Feb 2018.", 9),
        Text(50, 780, "Northwind Telecom plc. Registered in England. VAT GB 123 4567 89", 7),
    ]  # fmt: skip
    return Layout(
        "telecom", (page,), "Northwind Telecom plc", "B7741190", date(2018, 2, 2), date(2018, 2, 16), "GBP",
        "25.25", "5.05", "30.30", None,
    )  # fmt: skip


@layout
def values_before_their_labels() -> Layout:
    page = [
        Text(50, 60, "Orchard Design LLC", 14, bold=True),
        *block(50, 76, ["77 Pine St", "Portland, OR 97204", "United States"]),
        Text(50, 140, "Invoice INV-00031"),
        Text(50, 155, "Date: Apr 5, 2019"),
        *rows(200, [("Logo design", "$900.00"), ("Business cards", "$100.00")], (50, 400), right="1"),
        *rows(260, [("$1,000.00", "Subtotal"), ("$0.00", "Sales tax"), ("$1,000.00", "Total due")], (200, 260), right="0"),
    ]
    return Layout(
        "values_first", (page,), "Orchard Design LLC", "INV-00031", date(2019, 4, 5), None, "USD", "1000.00", "0.00",
        "1000.00", None, proved=None, size=LETTER,
    )  # fmt: skip


@layout
def swedish_kronor() -> Layout:
    page = [
        Text(50, 60, "Norrsken Bygg AB", 14, bold=True),
        *block(50, 76, ["Storgatan 1", "903 26 Umeå", "Sverige"]),
        Text(350, 60, "FAKTURA", 16, bold=True),
        *rows(85, [("Fakturanummer", "50012"), ("Fakturadatum", "2021-03-01"), ("Förfallodatum", "2021-03-31")], (350, 450)),
        *rows(
            200,
            [("Beskrivning", "Antal", "Pris", "Belopp"), ("Snickeri", "8", "450,00", "3 600,00"), ("Material", "1", "1 200,00", "1 200,00")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(280, [("Summa exkl. moms", "4 800,00 kr"), ("Moms 25%", "1 200,00 kr"), ("Att betala", "6 000,00 kr")], (350, 540), right="1"),
    ]
    return Layout(
        "swedish", (page,), "Norrsken Bygg AB", "50012", date(2021, 3, 1), date(2021, 3, 31), "SEK", "4800.00",
        "1200.00", "6000.00", 2,
    )  # fmt: skip


@layout
def discount_and_shipping() -> Layout:
    page = [
        Text(50, 60, "Gartenfreunde Versand GmbH", 14, bold=True),
        *block(50, 76, ["Am Park 3", "50667 Köln", "USt-IdNr. DE136695976"]),
        *rows(60, [("Rechnung Nr.", "R-5501"), ("Datum", "17.08.2020")], (380, 470)),
        *rows(
            200,
            [("Artikel", "Anzahl", "Preis", "Summe"), ("Rosenschere", "2", "30,00", "60,00"), ("Schlauch", "1", "40,00", "40,00")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(270, [("Zwischensumme netto", "100,00 EUR"), ("Rabatt 10%", "-10,00 EUR"), ("Versandkosten", "5,00 EUR"),
                    ("MwSt 19%", "18,05 EUR"), ("Gesamtbetrag", "113,05 EUR")], (350, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "discount", (page,), "Gartenfreunde Versand GmbH", "R-5501", date(2020, 8, 17), None, "EUR", "100.00", "18.05",
        "113.05", 2,
    )  # fmt: skip


@layout
def small_business_without_tax() -> Layout:
    page = [
        Text(50, 60, "Clara Neumann Fotografie", 13, bold=True),
        *block(50, 76, ["Gartenstraße 9", "04109 Leipzig", "mail@clara-neumann-foto.de"]),
        Text(50, 150, "Rechnung 2019-14", 14, bold=True),
        Text(400, 150, "Leipzig, den 4. Juni 2019"),
        *rows(
            200,
            [("Leistung", "Menge", "Einzelpreis", "Betrag"), ("Porträtserie", "1", "280,00 €", "280,00 €"),
             ("Bildrechte", "2", "60,00 €", "120,00 €")],
            (50, 300, 420, 540),
            right="123",
        ),
        *rows(260, [("Gesamtbetrag", "400,00 €")], (350, 540), right="1"),
        Text(50, 300, "Gemäß § 19 UStG wird keine Umsatzsteuer berechnet.", 8),
    ]  # fmt: skip
    return Layout(
        "no_tax", (page,), "Clara Neumann Fotografie", "2019-14", date(2019, 6, 4), None, "EUR", None, None, "400.00", 2,
    )  # fmt: skip


@layout
def ambiguous_date() -> Layout:
    page = [
        Text(50, 60, "Meridian Services", 14, bold=True),
        Text(50, 90, "Invoice number: 4410"),
        Text(50, 105, "Invoice date: 03/04/2020"),
        *rows(160, [("Description", "Quantity", "Price", "Amount"), ("Consulting", "2", "50.00", "100.00"), ("Travel", "1", "20.00", "20.00")],
              (50, 300, 420, 540), right="123"),
        *rows(220, [("Net total", "USD 120.00"), ("Tax 10%", "USD 12.00"), ("Total", "USD 132.00")], (350, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "ambiguous_date", (page,), "Meridian Services", "4410", None, None, "USD", "120.00", "12.00", "132.00", 2, proved=False,
    )  # fmt: skip


@layout
def wrong_sum() -> Layout:
    page = [
        Text(50, 60, "Kestrel Logistics Ltd", 14, bold=True),
        *block(50, 76, ["Dock Road", "Hull HU1 2AA", "United Kingdom"]),
        *rows(60, [("Invoice No", "K-901"), ("Invoice date", "5 May 2020")], (380, 470)),
        *rows(200, [("Description", "Qty", "Price", "Amount"), ("Pallet", "4", "100.00", "400.00")], (50, 300, 420, 540), right="123"),
        *rows(260, [("Subtotal", "£400.00"), ("VAT 20%", "£80.00"), ("Total", "£580.00")], (350, 540), right="1"),
    ]
    return Layout(
        "wrong_sum", (page,), "Kestrel Logistics Ltd", "K-901", date(2020, 5, 5), None, "GBP", "400.00", "80.00", "580.00",
        1, proved=False,
    )  # fmt: skip


@layout
def credit_note() -> Layout:
    page = [
        Text(50, 60, "Brightwater Tools Ltd", 14, bold=True),
        Text(400, 60, "CREDIT NOTE", 16, bold=True),
        *rows(90, [("Credit note no:", "CN-77"), ("Date:", "20 March 2021"), ("Invoice no:", "BT-20417")], (380, 470)),
        *rows(200, [("Description", "Qty", "Price", "Amount"), ("Socket set returned", "1", "120.50", "120.50")], (50, 300, 420, 540), right="123"),
        *rows(260, [("Subtotal", "£120.50"), ("VAT @ 20%", "£24.10"), ("Total", "£144.60")], (350, 540), right="1"),
    ]
    return Layout(
        "credit_note", (page,), "Brightwater Tools Ltd", "CN-77", date(2021, 3, 20), None, "GBP", "-120.50", "-24.10",
        "-144.60", 1, proved=False, kind="credit_note",
    )  # fmt: skip


@layout
def previous_balance() -> Layout:
    page = [
        Text(50, 60, "Valley Water Company", 14, bold=True),
        Text(50, 80, "Denver, CO 80202"),
        *rows(100, [("Bill number", "W-100"), ("Bill date", "June 1, 2020"), ("Due date", "June 21, 2020")], (50, 150)),
        *rows(180, [("Previous balance", "$40.00"), ("Current charges", "$60.00"), ("Tax", "$3.00"), ("Total current charges", "$63.00"),
                    ("Total amount due", "$103.00")], (50, 400), right="1"),
    ]  # fmt: skip
    return Layout(
        "previous_balance", (page,), "Valley Water Company", "W-100", date(2020, 6, 1), date(2020, 6, 21), "USD",
        None, "3.00", "103.00", None, proved=False,
    )  # fmt: skip


@layout
def order_confirmation() -> Layout:
    page = [
        Text(50, 60, "Gartenfreunde Versand GmbH", 14, bold=True),
        Text(50, 100, "Auftragsbestätigung Nr. 8812", 14, bold=True),
        Text(50, 120, "Datum 01.08.2020"),
        *rows(200, [("Artikel", "Anzahl", "Preis", "Summe"), ("Rosenschere", "2", "30,00", "60,00")], (50, 330, 430, 540), right="123"),
        *rows(260, [("Netto", "60,00 EUR"), ("MwSt 19%", "11,40 EUR"), ("Gesamtbetrag", "71,40 EUR")], (350, 540), right="1"),
        Text(50, 320, "Die Rechnung erhalten Sie mit der Lieferung.", 9),
    ]
    return Layout("order_confirmation", (page,), kind="not_an_invoice", proved=False)


@layout
def letter_about_nothing() -> Layout:
    page = block(50, 80, ["Dear neighbours,", "the summer party is on 12 July 2022 at six o'clock.", "Bring a salad. Kind regards, Eva"])
    return Layout("letter", (page,), kind="not_an_invoice", proved=False)


@layout
def two_currencies() -> Layout:
    page = [
        Text(50, 60, "Globex Software Inc.", 14, bold=True),
        Text(50, 80, "Seattle, WA 98101, USA"),
        *rows(100, [("Invoice number", "G-55"), ("Invoice date", "March 7, 2022")], (50, 160)),
        *rows(180, [("Subtotal", "US$ 200.00", "EUR 182.00"), ("VAT 0%", "US$ 0.00", "EUR 0.00"), ("Total", "US$ 200.00", "EUR 182.00")],
              (50, 300, 420), right="12"),
    ]  # fmt: skip
    return Layout(
        "two_currencies", (page,), "Globex Software Inc.", "G-55", date(2022, 3, 7), None, "EUR", "182.00", "0.00", "182.00", None,
        proved=False, size=LETTER,
    )  # fmt: skip


@layout
def only_one_total() -> Layout:
    page = [
        Text(50, 60, "Taxi Express GmbH", 14, bold=True),
        Text(50, 90, "Quittung Nr. 311"),
        Text(50, 105, "Datum: 12.05.2021"),
        Text(50, 140, "Gesamtbetrag 34,50 EUR"),
    ]
    return Layout(
        "one_total", (page,), "Taxi Express GmbH", "311", date(2021, 5, 12), None, "EUR", None, None, "34.50", None, proved=False,
    )  # fmt: skip


@layout
def thousands_or_decimals() -> Layout:
    page = [
        Text(50, 60, "Kleinteile GmbH", 14, bold=True),
        Text(50, 90, "Rechnung Nr. 12"),
        Text(50, 105, "Rechnungsdatum 12.05.2021"),
        *rows(140, [("Netto", "EUR 1.000"), ("MwSt", "EUR 0.200"), ("Gesamtbetrag", "EUR 1.200")], (50, 300), right="1"),
    ]
    return Layout(
        "thousands_or_decimals", (page,), "Kleinteile GmbH", "12", date(2021, 5, 12), None, "EUR", None, None, None, None, proved=False,
    )  # fmt: skip


@layout
def section_totals_before_the_total() -> Layout:
    page = [
        Text(50, 60, "Nimbus Hosting B.V.", 14, bold=True),
        *block(50, 76, ["Amsterdam, Nederland", "BTW NL004495445B01"]),
        *rows(110, [("Invoice number", "NH-2020-9"), ("Invoice date", "2020-10-31")], (50, 160)),
        *rows(170, [("Project Alpha", ""), ("Server", "€ 10.00"), ("Backup", "€ 2.00"), ("Total project", "€ 12.00")], (50, 400), right="1"),
        *rows(250, [("Project Beta", ""), ("Server", "€ 20.00"), ("Storage", "€ 8.00"), ("Total project", "€ 28.00")], (50, 400), right="1"),
        *rows(330, [("Total excl. VAT", "€ 40.00"), ("VAT 21%", "€ 8.40"), ("Total incl. VAT", "€ 48.40")], (50, 400), right="1"),
    ]
    return Layout(
        "sections", (page,), "Nimbus Hosting B.V.", "NH-2020-9", date(2020, 10, 31), None, "EUR", "40.00", "8.40", "48.40", None,
    )  # fmt: skip


@layout
def japanese_yen_without_decimals() -> Layout:
    page = [
        Text(50, 60, "Sakura Trading Co., Ltd.", 14, bold=True),
        Text(50, 80, "Osaka, Japan"),
        *rows(100, [("Invoice No.", "ST-300"), ("Invoice Date", "2021-07-15")], (50, 160)),
        *rows(160, [("Description", "Qty", "Unit Price", "Amount"), ("Ceramic bowl", "40", "JPY 1,200", "JPY 48,000"),
                    ("Tea pot", "10", "JPY 3,500", "JPY 35,000")], (50, 300, 420, 540), right="123"),
        *rows(230, [("Subtotal", "JPY 83,000"), ("Consumption tax 10%", "JPY 8,300"), ("Total", "JPY 91,300")], (350, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "yen", (page,), "Sakura Trading Co., Ltd.", "ST-300", date(2021, 7, 15), None, "JPY", "83000", "8300", "91300", 2,
    )  # fmt: skip


@layout
def tax_included_in_the_total() -> Layout:
    page = [
        Text(50, 60, "Buchladen Seitenweise e.K.", 14, bold=True),
        *block(50, 76, ["Hauptstr. 2", "10827 Berlin"]),
        *rows(110, [("Rechnungsnr.", "88-2"), ("Rechnungsdatum", "02.12.2021")], (50, 160)),
        *rows(160, [("Titel / Artikel", "Menge", "Preis", "Betrag"), ("Atlas", "1", "32,10", "32,10"), ("Lexikon", "2", "37,45", "74,90")],
              (50, 300, 420, 540), right="123"),
        *rows(230, [("Gesamtsumme", "107,00 €"), ("darin enthaltene MwSt 7%", "7,00 €")], (350, 540), right="1"),
    ]  # fmt: skip
    return Layout(
        "included", (page,), "Buchladen Seitenweise e.K.", "88-2", date(2021, 12, 2), None, "EUR", "100.00", "7.00", "107.00", 2,
    )  # fmt: skip

"""Make the sample invoices: `python -m invoice_intake.make_samples`, from the folder above this one.

All of them are invented and say so on the page. They differ in layout, language, currency and number format;
one has a wrong sum, one repeats another, one is a scan without text and one is no invoice. `expected.json`
holds the facts that each of them states.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .drawing import A4, LETTER, Text, block, draw_pdf, draw_scan, rows

SAMPLES = Path(__file__).parent / "samples"
NOTICE = "INVENTED SAMPLE made by make_samples.py: no such company, no such invoice. Do not pay."


@dataclass(frozen=True)
class Sample:
    """One sample file and the facts that it states, as `expected.json` holds them."""

    name: str
    facts: Mapping[str, str | bool | None]
    pdf: bytes


def samples() -> list[Sample]:
    """All samples, drawn anew; the same bytes each time."""
    return [make() for make in _MAKERS]


def write_samples(folder: Path = SAMPLES) -> list[Path]:
    """Write the samples and `expected.json` into a folder.

    Args:
        folder: where to write; created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = samples()
    for sample in made:
        (folder / sample.name).write_bytes(sample.pdf)
    expected = [{"file": sample.name, **sample.facts} for sample in made]
    (folder / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return [folder / sample.name for sample in made]


def _sample(
    name: str, pages: Sequence[list[Text]], size: tuple[float, float] = A4, **facts: str | bool | None
) -> Sample:
    """A drawn sample with the notice on every page; facts not given are not stated."""
    marked = [[*page, Text(40, size[1] - 18, NOTICE, 7)] for page in pages]
    keys = ("kind", "supplier", "number", "date", "currency", "net", "tax", "gross", "proved", "duplicate_of")
    stated = {key: facts.get(key) for key in keys}
    return Sample(name, stated, draw_pdf(marked, size=size, title=f"Invented sample {name}"))


def _english(copy: bool) -> list[Text]:
    title = [Text(50, 112, "COPY", 9)] if copy else []
    return [
        Text(50, 60, "Thistle & Wren Stationers Ltd", 17, bold=True),
        *block(50, 78, ["14 Inkwell Row, Sampleton", "United Kingdom", "VAT no. GB 000 0000 00 (invented)"]),
        *title,
        Text(545, 60, "INVOICE", 20, right=True, bold=True),
        *rows(85, [("Invoice no.", "TW-10482"), ("Invoice date", "14 March 2024"), ("Due date", "13 April 2024")], (400, 545), right="1"),
        *block(50, 150, ["Bill to", "Example Accounts Dept.", "1 Test Street, Sampleton"]),
        *rows(
            230,
            [
                ("Description", "Qty", "Unit price", "Amount"),
                ("A4 copier paper, box", "12", "18.50", "222.00"),
                ("Fountain pen", "3", "24.00", "72.00"),
                ("Ledger, 200 pages", "5", "9.80", "49.00"),
            ],
            (50, 340, 440, 545),
            right="123",
            step=18,
        ),
        *rows(330, [("Subtotal", "£343.00"), ("VAT 20%", "£68.60"), ("Total due", "£411.60")], (400, 545), right="1", step=16),
        Text(50, 430, "Please pay within 30 days, quoting the invoice number.", 9),
    ]  # fmt: skip


_ENGLISH: Mapping[str, str | bool | None] = {
    "kind": "invoice", "supplier": "Thistle & Wren Stationers Ltd", "number": "TW-10482", "date": "2024-03-14",
    "currency": "GBP", "net": "343.00", "tax": "68.60", "gross": "411.60", "proved": True,
}  # fmt: skip


def _01_english() -> Sample:
    return _sample("01-english-pounds.pdf", [_english(copy=False)], **_ENGLISH)


def _02_german() -> Sample:
    page = [
        Text(50, 50, "Mühlbach Mustermöbel GmbH · Erfundene Gasse 3 · 00000 Musterstadt", 7),
        *block(50, 80, ["Beispiel AG", "Einkauf", "Testweg 9", "00000 Musterstadt"], size=10),
        *rows(80, [("Rechnungsnummer", "2024/0815"), ("Rechnungsdatum", "05.02.2024"), ("Lieferdatum", "31.01.2024"),
                   ("Kundennummer", "10077")], (370, 480)),
        Text(50, 190, "Rechnung", 16, bold=True),
        *rows(
            230,
            [
                ("Pos", "Bezeichnung", "Menge", "Einzelpreis", "MwSt", "Gesamt"),
                ("1", "Schreibtisch Eiche", "2", "640,00", "19%", "1.280,00"),
                ("2", "Bürostuhl", "4", "189,90", "19%", "759,60"),
                ("3", "Fachbuch Ergonomie", "3", "25,00", "7%", "75,00"),
            ],
            (50, 80, 320, 400, 450, 545),
            right="2345",
        ),
        *rows(
            320,
            [
                ("Summe netto", "2.114,60 €"),
                ("zzgl. 7% MwSt auf 75,00", "5,25 €"),
                ("zzgl. 19% MwSt auf 2.039,60", "387,52 €"),
                ("Rechnungsbetrag", "2.507,37 €"),
            ],
            (340, 545),
            right="1",
        ),
        Text(50, 430, "Zahlbar bis 19.02.2024 ohne Abzug auf IBAN DE00 0000 0000 0000 0000 00.", 9),
    ]  # fmt: skip
    return _sample(
        "02-german-two-rates.pdf", [page], kind="invoice", supplier="Mühlbach Mustermöbel GmbH", number="2024/0815",
        date="2024-02-05", currency="EUR", net="2114.60", tax="392.77", gross="2507.37", proved=True,
    )  # fmt: skip


def _03_french() -> Sample:
    page = [
        Text(50, 60, "Imprimerie des Exemples SARL", 15, bold=True),
        *block(50, 76, ["8 rue de l'Invention", "00000 Villefictive"]),
        Text(330, 60, "FACTURE N° FA-2024-0712", 13, bold=True),
        Text(330, 80, "Villefictive, le 12 juillet 2024"),
        *block(330, 120, ["Société Exemple", "1 place du Test", "00000 Villefictive"]),
        *rows(
            220,
            [
                ("Désignation", "Quantité", "P.U. HT", "Montant HT"),
                ("Affiches A2, quadrichromie", "500", "2,40", "1 200,00"),
                ("Mise en page", "6", "85,50", "513,00"),
            ],
            (50, 350, 440, 545),
            right="123",
        ),
        *rows(
            380,
            [("Total HT", "TVA 20 %", "Total TTC", "Net à payer"), ("1 713,00 €", "342,60 €", "2 055,60 €", "2 055,60 €")],
            (200, 310, 430, 545),
            right="0123",
        ),
        Text(50, 440, "Échéance : 11/08/2024. Règlement par virement, sans escompte.", 9),
    ]
    return _sample(
        "03-french-boxes.pdf", [page], kind="invoice", supplier="Imprimerie des Exemples SARL", number="FA-2024-0712",
        date="2024-07-12", currency="EUR", net="1713.00", tax="342.60", gross="2055.60", proved=True,
    )  # fmt: skip


def _04_american() -> Sample:
    page = [
        Text(50, 60, "Invented Pines Hosting Inc.", 16, bold=True),
        *block(50, 78, ["400 Placeholder Ave", "Sampleville, CA 94901", "USA"]),
        *rows(60, [("INVOICE #", "DATE"), ("10-8841", "08/26/2024")], (400, 490), step=16),
        *rows(110, [("TERMS", "DUE DATE"), ("Net 30", "09/25/2024")], (400, 490), step=16),
        *block(50, 150, ["BILL TO", "Example Accounts LLC", "9 Test Street", "Sampleville, CA 94901"]),
        *rows(
            250,
            [("QTY", "ITEM", "RATE", "AMOUNT"), ("12", "Virtual server, month", "40.00", "480.00"), ("1", "Support", "19.99", "19.99")],
            (50, 100, 440, 560),
            right="23",
        ),
        *rows(320, [("SUBTOTAL", "$499.99"), ("SALES TAX (8.25%)", "$41.25"), ("TOTAL", "$541.24"), ("BALANCE DUE", "$541.24")],
              (400, 560), right="1"),
    ]  # fmt: skip
    return _sample(
        "04-american-slashes.pdf", [page], LETTER, kind="invoice", supplier="Invented Pines Hosting Inc.", number="10-8841",
        date="2024-08-26", currency="USD", net="499.99", tax="41.25", gross="541.24", proved=True,
    )  # fmt: skip


def _05_indian() -> Sample:
    page = [
        Text(220, 50, "TAX INVOICE", 14, bold=True),
        Text(40, 80, "Sold By: Lotus Example Electronics Pvt. Ltd.", 10),
        *block(40, 96, ["Plot 0, Invented City, Hyderabad, India", "GSTIN: 00XXXXX0000X0Z0 (invented)"]),
        *rows(80, [("Invoice Number :", "LE/24-25/00917"), ("Invoice Date :", "09-05-2024"), ("Order Date :", "07-05-2024")], (360, 470)),
        *rows(
            200,
            [
                ("Description", "Qty", "Rate", "Taxable Value", "CGST 9%", "SGST 9%", "Total"),
                ("LED wall 85in", "1", "1,25,000.00", "1,25,000.00", "11,250.00", "11,250.00", "1,47,500.00"),
                ("Wall mount", "2", "1,500.00", "3,000.00", "270.00", "270.00", "3,540.00"),
                ("Total", "3", "", "1,28,000.00", "11,520.00", "11,520.00", "1,51,040.00"),
            ],
            (40, 190, 270, 350, 420, 485, 560),
            right="123456",
            size=8,
        ),
        *rows(300, [("Taxable amount", "1,28,000.00"), ("CGST", "11,520.00"), ("SGST", "11,520.00"), ("Grand Total (INR)", "1,51,040.00")],
              (380, 560), right="1"),
    ]  # fmt: skip
    return _sample(
        "05-indian-lakhs.pdf", [page], kind="invoice", supplier="Lotus Example Electronics Pvt. Ltd.", number="LE/24-25/00917",
        date="2024-05-09", currency="INR", net="128000.00", tax="23040.00", gross="151040.00", proved=True,
    )  # fmt: skip


def _06_swiss() -> Sample:
    page = [
        Text(50, 60, "Alpenmuster Informatik AG", 14, bold=True),
        *block(50, 76, ["Erfundene Strasse 7", "CH-0000 Musterlingen"]),
        *block(350, 120, ["Beispielgemeinde", "Dorfstrasse 1", "0000 Musterlingen"]),
        Text(50, 200, "Rechnung Nr. 77120", 14, bold=True),
        *rows(225, [("Datum:", "3. Oktober 2024"), ("Zahlbar bis:", "2. November 2024")], (50, 130)),
        *rows(
            280,
            [("Leistung", "Std.", "Ansatz", "Betrag CHF"), ("Beratung", "12.5", "180.00", "2'250.00"), ("Server", "1", "3'400.00", "3'400.00")],
            (50, 300, 400, 540),
            right="123",
        ),
        *rows(340, [("Zwischentotal", "5'650.00"), ("MWST 8.1%", "457.65"), ("Total CHF", "6'107.65")], (350, 540), right="1"),
    ]
    return _sample(
        "06-swiss-francs.pdf", [page], kind="invoice", supplier="Alpenmuster Informatik AG", number="77120",
        date="2024-10-03", currency="CHF", net="5650.00", tax="457.65", gross="6107.65", proved=True,
    )  # fmt: skip


def _07_wrong_sum() -> Sample:
    page = [
        Text(50, 60, "Transportes Ficticios S.L.", 14, bold=True),
        *block(50, 76, ["Calle Inventada 5", "00000 Ejemplo"]),
        *rows(60, [("Factura nº:", "2024/0087"), ("Fecha:", "28/06/2024"), ("Vencimiento:", "28/07/2024")], (360, 450)),
        *block(50, 140, ["Cliente:", "Ejemplo S.A.", "Av. de la Prueba 2"]),
        *rows(
            230,
            [("Concepto", "Cantidad", "Precio", "Importe"), ("Porte nacional", "3", "180,00", "540,00"), ("Seguro", "1", "60,00", "60,00")],
            (50, 330, 430, 540),
            right="123",
        ),
        *rows(310, [("Base imponible", "600,00 €"), ("IVA 21%", "126,00 €"), ("TOTAL FACTURA", "762,00 €")], (380, 540), right="1"),
    ]
    return _sample(
        "07-wrong-sum.pdf", [page], kind="invoice", supplier="Transportes Ficticios S.L.", number="2024/0087",
        date="2024-06-28", currency="EUR", net="600.00", tax="126.00", gross="762.00", proved=False,
    )  # fmt: skip


def _08_duplicate() -> Sample:
    return _sample("08-duplicate.pdf", [_english(copy=True)], **_ENGLISH, duplicate_of="01-english-pounds.pdf")


def _09_scan() -> Sample:
    image = Image.new("L", (620, 877), 250)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=16)
    words = ("Petty Example Taxi", "Receipt 311", "12 May 2024", "Total 34.50 EUR", "", "INVENTED SAMPLE: a scan without text.", "Do not pay.")
    for row, line in enumerate(words):
        draw.text((60, 70 + 40 * row), line, fill=30, font=font)
    draw.line((50, 360, 570, 366), fill=120, width=2)
    png = BytesIO()
    image.save(png, format="PNG", optimize=True)
    stated: dict[str, str | bool | None] = dict.fromkeys(
        ("kind", "supplier", "number", "date", "currency", "net", "tax", "gross", "proved", "duplicate_of")
    )
    stated |= {"kind": "unreadable", "proved": False}
    return Sample("09-scan-without-text.pdf", stated, draw_scan(png, title="Invented sample 09-scan-without-text.pdf"))


def _10_no_invoice() -> Sample:
    page = [
        Text(50, 60, "Fietsenmaker Verzonnen B.V.", 14, bold=True),
        Text(50, 100, "Orderbevestiging nr. 8812", 14, bold=True),
        Text(50, 120, "Datum 01-08-2024"),
        *rows(200, [("Omschrijving", "Aantal", "Prijs", "Bedrag"), ("Stadsfiets", "1", "499,00", "499,00")], (50, 330, 430, 540), right="123"),
        *rows(260, [("Totaal exclusief btw", "€ 412,40"), ("21% btw", "€ 86,60"), ("Totaal inclusief btw", "€ 499,00")], (330, 540), right="1"),
        Text(50, 340, "De factuur ontvangt u bij de levering.", 9),
    ]  # fmt: skip
    return _sample("10-no-invoice.pdf", [page], kind="not_an_invoice", proved=False)


_MAKERS: tuple[Callable[[], Sample], ...] = (
    _01_english, _02_german, _03_french, _04_american, _05_indian, _06_swiss, _07_wrong_sum, _08_duplicate, _09_scan,
    _10_no_invoice,
)  # fmt: skip

if __name__ == "__main__":
    for path in write_samples():
        print(path.name)

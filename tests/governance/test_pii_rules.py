"""What the engine of rules finds, what it leaves alone, and where."""

import pytest

from flujo.governance import Finding, RuleEngine
from flujo.governance.pii.finding import settle

ENGINE = RuleEngine()

FOUND = [
    ("email", "mail jane.o'neil+tag@sub.example.co.uk, please", "jane.o'neil+tag@sub.example.co.uk"),
    ("email", "schreib an jürgen@müller.de", "jürgen@müller.de"),
    ("email", "jane [at] example [dot] com", "jane [at] example [dot] com"),
    ("phone", "+49 (0) 9141 777631 ist neu", "+49 (0) 9141 777631"),
    ("phone", "call (591)341-7776 today", "(591)341-7776"),
    ("phone", "206.269.0743x9150 is hers", "206.269.0743x9150"),
    ("phone", "Tél. : 04 15 39 15 00", "04 15 39 15 00"),
    ("phone", "Handy 01512345678.", "01512345678"),
    ("phone", "puhelin 0150008063", "0150008063"),
    ("phone", "llamar al 609 141 777", "609 141 777"),
    ("card", "card 4111-1111-1111-1111", "4111-1111-1111-1111"),
    ("card", "Amex 3782 822463 10005 exp", "3782 822463 10005"),
    ("card", "4lll l111 1111 1111", "4lll l111 1111 1111"),
    ("iban", "IBAN: GB29 NWBK 6016 1331 9268 19.", "GB29 NWBK 6016 1331 9268 19"),
    ("iban", "de89370400440532013000 is it", "de89370400440532013000"),
    ("ssn", "her SSN is 123-45-6789", "123-45-6789"),
    ("ssn", "social security number: 123456789", "123456789"),
    ("national_id", "NHS number 943 476 5919", "943 476 5919"),
    ("national_id", "NINO AB 12 34 56 C", "AB 12 34 56 C"),
    ("national_id", "c.f. RSSMRA85T10A562S", "RSSMRA85T10A562S"),
    ("national_id", "DNI 12345678Z", "12345678Z"),
    ("national_id", "PESEL 44051401359", "44051401359"),
    ("national_id", "CPF 390.533.447-05", "390.533.447-05"),
    ("national_id", "AHV 756.9217.0769.85", "756.9217.0769.85"),
    ("ip", "from 192.168.10.254 at", "192.168.10.254"),
    ("ip", "host 2001:db8::8a2e:370:7334,", "2001:db8::8a2e:370:7334"),
    ("mac", "00:1A:2B:3C:4D:5E up", "00:1A:2B:3C:4D:5E"),
    ("mac", "001a.2b3c.4d5e up", "001a.2b3c.4d5e"),
    ("url", "see https://example.com/p?id=3 (now)", "https://example.com/p?id=3"),
    ("date", "born 12 March 1985 in", "12 March 1985"),
    ("date", "le 1er janvier 2021 à", "1er janvier 2021"),
    ("date", "am 3. Mai 2020 war", "3. Mai 2020"),
    ("date", "el 5 de agosto de 2019", "5 de agosto de 2019"),
    ("date", "March 12th, 1985 was", "March 12th, 1985"),
    ("date", "on 1985-03-12T10:15:00Z it", "1985-03-12T10:15:00Z"),
    ("date", "12.3.1985 und", "12.3.1985"),
    ("date", "03/12/85 seen", "03/12/85"),
    ("date", "1985年3月12日に", "1985年3月12日"),
    ("mrn", "MRN: 00-1234-56 seen", "00-1234-56"),
    ("mrn", "Patientennummer P123456", "P123456"),
    ("account", "account number 12345678", "12345678"),
    ("health_plan", "MBI 1EG4-TE5-MK73", "1EG4-TE5-MK73"),
    ("vehicle", "VIN 1HGCM82633A004352", "1HGCM82633A004352"),
    ("device", "IMEI 490154203237518", "490154203237518"),
    ("age", "she is 93 years old", "93"),
    ("address", "lives at 12 Baker Street, London", "12 Baker Street"),
    ("address", "wohnt Mühlegasse 4, Dinslaken", "Mühlegasse 4"),
    ("address", "67, chemin Adrien Tanguy", "67, chemin Adrien Tanguy"),
    ("address", "Calle de Alcalá 25, Madrid", "Calle de Alcalá 25"),
    ("postcode", "London NW1 6XE", "NW1 6XE"),
    ("postcode", "Springfield, IL 62704", "62704"),
    ("secret", "key AKIAIOSFODNN7EXAMPLE here", "AKIAIOSFODNN7EXAMPLE"),
    ("secret", "password = 'hunter2-is-old'", "hunter2-is-old"),
    ("secret", "Authorization: Bearer abc123DEF456ghi789JKL", "abc123DEF456ghi789JKL"),
    ("name", "Dear Dr. Smith, thank", "Smith"),
    ("name", "Patient: Okonkwo, Chidi", "Okonkwo, Chidi"),
    ("name", "we saw Maria Müller today", "Maria Müller"),
]  # fmt: skip

LEFT_ALONE = [
    "card 4111 1111 1111 1112 was refused",
    "order 4155552671 of 12 items",
    "Bestellnummer 20250012345678",
    "commit 3f2a9c81d0b4e6f7a8091b2c3d4e5f60718293a4",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "ISBN 978-3-16-148410-0",
    "diagnosis E11.9, J45.909 and S72.001A",
    "version 10.4.12.1 of the agent",
    "release 2.14.0-rc1",
    "amount EUR 1.234.567,89 or $12,345.67",
    "SKU AB-12345-XZ, part no. 100-2000-30",
    "the ratio was 3:2 and 10:30 is the time",
    "aged 45 years, 45-year-old",
    "x = data[1::2]; y = std::vector",
    "may we march on",
]


@pytest.mark.parametrize(("entity", "text", "found"), FOUND)
def test_what_is_found(entity: str, text: str, found: str) -> None:
    assert (entity, found) in [(one.entity, text[one.start : one.end]) for one in ENGINE.find(text)]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_what_names_nobody(text: str) -> None:
    assert ENGINE.find(text) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("j\u200ba\u2060ne@exam\u00adple.com", "j\u200ba\u2060ne@exam\u00adple.com"),
        ("jаne@exаmple.com", "jаne@exаmple.com"),
        ("４１１１ １１１１ １１１１ １１１１", "４１１１ １１１１ １１１１ １１１１"),
        ("card ٤١١١ 1111 1111 1111!", "٤١١١ 1111 1111 1111"),
        ("?m=jane%40example.com&x=1", "jane%40example.com"),
        ("?m=jane%2540example.com&x=1", "jane%2540example.com"),
        ("<i>&#106;ane&#x40;example.com</i>", "&#106;ane&#x40;example.com"),
        (r'{"m": "jane\u0040example.com"}', r"jane\u0040example.com"),
        ("data amFuZS5kb2VAZXhhbXBsZS5jb20= end", "amFuZS5kb2VAZXhhbXBsZS5jb20="),
        ("data 6a616e65406578616d706c652e636f6d end", "6a616e65406578616d706c652e636f6d"),
    ],
)
def test_what_is_written_to_be_overlooked(text: str, found: str) -> None:
    assert found in [text[one.start : one.end] for one in ENGINE.find(text)]


def test_overlaps_are_settled_whatever_the_order() -> None:
    several = [
        Finding(0, 10, "phone", 0.6, "a"),
        Finding(5, 12, "date", 0.9, "b"),
        Finding(5, 20, "date", 0.8, "c"),
        Finding(30, 40, "name", 0.5, "d"),
    ]
    settled = settle(several)
    assert settle(reversed(several)) == settled
    assert [(one.start, one.end, one.rule) for one in settled] == [(5, 20, "b"), (30, 40, "d")]


def test_only_some_entities_and_only_sure_ones() -> None:
    text = "jane@example.com, 10.0.0.1, Maria Müller"
    assert [one.entity for one in RuleEngine(entities=["ip"]).find(text)] == ["ip"]
    assert [one.entity for one in RuleEngine(threshold=0.95).find(text)] == ["email"]

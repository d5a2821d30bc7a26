"""Known values are found in every form that people write them in."""

import pytest

from flujo.governance import KnownValues

KNOWN = KnownValues(
    {
        "name": [
            "María José García-López", "Jan Kowalski", "Jürgen Müller", "David van der Berg", "Will Young",
            "山田 太郎",
        ],
        "phone": ["+49 (0)151 2345 6789", "415-555-2671"],
        "email": ["j.kowalski@example.pl", "info@clinic.example"],
        "account": ["DE-4411/22 33"],
        "iban": ["DE89370400440532013000"],
        "date": ["1985-03-12"],
        "address": ["12 Baker Street, London"],
    }
)  # fmt: skip

FORMS = [
    ("name", "Maria Jose Garcia-Lopez came", "Maria Jose Garcia-Lopez"),
    ("name", "GARCÍA LÓPEZ, MARÍA JOSÉ", "GARCÍA LÓPEZ, MARÍA JOSÉ"),
    ("name", "María García said", "María García"),
    ("name", "M. J. García López said", "M. J. García López"),
    ("name", "said M. García", "M. García"),
    ("name", "garcía said", "garcía"),
    ("name", "Kowalski's plan", "Kowalski"),
    ("name", "nie ma Kowalskiego", "Kowalskiego"),
    ("name", "z Janem Kowalskim", "Janem Kowalskim"),
    ("name", "user jkowalski logged", "jkowalski"),
    ("name", "Müllers Akte", "Müllers"),
    ("name", "Herr Mueller kam", "Mueller"),
    ("name", "D. van der Berg", "D. van der Berg"),
    ("name", "Mr Young agreed", "Young"),
    ("name", "山田太郎さんは", "山田太郎"),
    ("name", "J\u200ban Kowa\u200blski", "J\u200ban Kowa\u200blski"),
    ("phone", "call 0151/23456789 now", "0151/23456789"),
    ("phone", "+4915123456789", "+4915123456789"),
    ("phone", "local 555-2671", "555-2671"),
    ("phone", "(415) 555.2671", "(415) 555.2671"),
    ("email", "J.Kowalski@Example.PL", "J.Kowalski@Example.PL"),
    ("account", "konto de44112233", "de44112233"),
    ("iban", "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
    ("date", "born 12/3/1985", "12/3/1985"),
    ("address", "at 12 BAKER STREET, LONDON", "12 BAKER STREET, LONDON"),
]


@pytest.mark.parametrize(("entity", "text", "form"), FORMS)
def test_a_form(entity: str, text: str, form: str) -> None:
    assert (entity, form) in [(one.entity, text[one.start : one.end]) for one in KNOWN.find(text)]


@pytest.mark.parametrize(
    "text",
    [
        "the young will be strong",
        "info is here",
        "contact the office",
        "55-26710",
        "Janitor Milleri garci",
        "12 people in London",
    ],
)
def test_what_only_looks_like_it(text: str) -> None:
    assert [one for one in KNOWN.find(text) if text[one.start : one.end] != "London"] == []


def test_many_values_are_one_pass() -> None:
    """Ten thousand names cost no more per text than ten."""
    from time import process_time

    text = "The visit of Person77 Family77 went well and nothing else was said. " * 400
    took: list[float] = []
    for count in (10, 10_000):
        known = KnownValues({"name": [f"Person{at} Family{at}" for at in range(count)]})
        known.find(text)
        started = process_time()
        known.find(text)
        took.append(process_time() - started)
    assert took[1] < 5 * took[0] + 0.05

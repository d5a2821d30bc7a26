"""Labelled texts: templates filled by Faker, as people write such values, and texts that hold none."""

import re
import string
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from random import Random

from faker import Faker

LOCALES = {"en_US": "en", "en_GB": "en", "de_DE": "de", "fr_FR": "fr", "es_ES": "es", "it_IT": "it"}
FURTHER = {"nl_NL": "nl", "pl_PL": "pl", "pt_BR": "pt", "sv_SE": "sv"}
"""Locales of the held-out texts alone."""

HERE = Path(__file__).parent
FIRST_DAY, LAST_DAY = (
    date(1944, 1, 1),
    date(2024, 12, 31),
)  # so that a seed makes the same texts
_SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, where personal data stands in it, and in which locale it was made."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    locale: str
    record: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """What typed fields of a record would hold of it: names, numbers and streets, each written in one way."""


def corpus(part: str, seed: int = 1, copies: int = 12) -> list[Labelled]:
    """Return the texts of a part (`training` or `heldout`), each template filled several times per locale."""
    templates = tomllib.loads((HERE / f"{part}.toml").read_text(encoding="utf-8"))
    texts: list[Labelled] = []
    for locale, language in (LOCALES | (FURTHER)).items():
        values = Values(locale, seed)
        for template in templates[language]:
            texts += [fill(template, values, locale) for _ in range(copies)]
    return texts


def negatives(seed: int = 1, copies: int = 6) -> list[Labelled]:
    """Return texts that hold no personal data, and look as if."""
    templates = tomllib.loads((HERE / "negatives.toml").read_text(encoding="utf-8"))["texts"]
    values = Misleading(seed)
    return [
        Labelled(_SLOT.sub(lambda match: values.make(match[1]), template), (), "none")
        for template in templates
        for _ in range(copies)
    ]


def fill(template: str, values: "Values", locale: str) -> Labelled:
    """Fill the slots of a template and note where each value stands."""
    parts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    values.record = {}
    at = size = 0
    for match in _SLOT.finditer(template):
        before = template[at : match.start()].replace("{{", "{").replace("}}", "}")
        entity, value = values.make(match[1], match[2])
        size += len(before)
        spans.append((size, size + len(value), entity))
        parts += (before, value)
        size += len(value)
        at = match.end()
    parts.append(template[at:].replace("{{", "{").replace("}}", "}"))
    return Labelled("".join(parts), tuple(spans), locale, values.record)


class Values:
    """Values of one locale, written as people write them."""

    def __init__(self, locale: str, seed: int) -> None:
        self.locale = locale
        self.random = Random(f"{locale}{seed}")
        self.fake = Faker(locale)
        self.fake.seed_instance(f"{locale}{seed}")
        self.record: dict[str, list[str]] = {}
        self.person = ("", "")

    def make(self, slot: str, way: str | None) -> tuple[str, str]:
        """Return entity and value for a slot."""
        if slot == "name":
            return "name", self.named(way)
        if way == "again":
            return slot, self.again()
        entity, value = self._made(slot, way)
        value = " ".join(value.split("\n")).strip()
        self.record.setdefault(entity, []).append(value)
        return entity, value

    def _made(self, slot: str, way: str | None) -> tuple[str, str]:
        if slot == "national":
            value = self.national()
            return ("ssn" if self.locale == "en_US" else "national_id"), value
        if slot == "city":
            return "address", self.fake.city()
        value = self.secret(way or "aws") if slot == "secret" else getattr(self, slot)()
        return slot, value

    def named(self, way: str | None) -> str:
        """Return a new person's name, or the last person's in another way."""
        if way is None or "name" not in self.record:
            self.person = (self.fake.first_name(), self.fake.last_name())
            self.record.setdefault("name", []).append(" ".join(self.person))
        first, last = self.person
        match way:
            case "surname":
                return last
            case "first":
                return first
            case "turned":
                return f"{last}, {first}"
            case "initials":
                return f"{first[0]}. {last}"
            case "upper":
                return f"{first} {last}".upper()
            case "possessive":
                return f"{last}'s"
            case "genitive":
                return f"{last}s"
            case _:
                return f"{first} {last}"

    def again(self) -> str:
        """Return the last telephone number in another grouping; a new one where there is none."""
        numbers = self.record.get("phone")
        if not numbers:
            value = self.fake.phone_number()
            self.record["phone"] = [value]
            return value
        digits = "".join(filter(str.isdigit, numbers[-1].partition("x")[0]))
        return ".".join((digits[:-7], digits[-7:-4], digits[-4:]))

    def email(self) -> str:
        return self.random.choice([self.fake.email, self.fake.company_email, self.fake.ascii_safe_email])()

    def phone(self) -> str:
        return self.fake.phone_number()

    def card(self) -> str:
        number = self.fake.credit_card_number(
            self.random.choice(["visa16", "mastercard", "amex", "discover"])
        )
        way = self.random.randrange(3)
        if way == 0:
            return number
        cuts = (4, 10) if len(number) == 15 else (4, 8, 12)
        return " -"[way - 1].join(number[a:b] for a, b in zip((0, *cuts), (*cuts, None), strict=True))

    def iban(self) -> str:
        number = self.fake.iban()
        return number if self.random.random() < 0.5 else " ".join(re.findall(".{1,4}", number))

    def ip(self) -> str:
        return self.fake.ipv4() if self.random.random() < 0.7 else self.fake.ipv6()

    def mac(self) -> str:
        value = self.fake.mac_address()
        return self.random.choice([value, value.upper(), value.replace(":", "-")])

    def url(self) -> str:
        return self.random.choice([self.fake.url, self.fake.uri])()

    def date(self) -> str:
        day = self.fake.date_between(FIRST_DAY, LAST_DAY)
        return self.random.choice(_DATES[self.locale[:2]])(day)

    def national(self) -> str:
        fake, pick = self.fake, self.random
        match self.locale:
            case "en_GB":
                return pick.choice([fake.ssn(), nhs(pick)])
            case "es_ES":
                return pick.choice([fake.nif(), fake.nie()])
            case "de_DE":
                return fake.rvnr() if hasattr(fake, "rvnr") else fake.ssn()
            case _:
                return fake.ssn()

    def mrn(self) -> str:
        ways = ("########", "######", "??######", "###-##-##", "MR-#######", "##-####-##")
        return self.fake.bothify(self.random.choice(ways), letters=string.ascii_uppercase)

    def account(self) -> str:
        return self.fake.numerify(self.random.choice(["########", "##########", "#### #### ##"]))

    def address(self) -> str:
        return self.fake.street_address()

    def postcode(self) -> str:
        if self.locale == "en_US":
            return f"{self.fake.city()}, {self.fake.state_abbr()} {self.fake.postcode()}".split(", ")[1][3:]
        return self.fake.postcode()

    def age(self) -> str:
        return str(self.random.randint(90, 104))

    def vehicle(self) -> str:
        return self.fake.vin()

    def health_plan(self) -> str:
        return self.fake.bothify(
            self.random.choice(["#########", "???########", "W#########"]), letters="ABCDEFGHXYZ"
        )

    def device(self) -> str:
        return self.fake.bothify(
            self.random.choice(["SN########", "??-######-##", "##########"]), letters="ABCDXYZ"
        )

    def secret(self, way: str) -> str:
        letters = string.ascii_letters + string.digits
        some = lambda size, of=letters: "".join(self.random.choices(of, k=size))  # noqa: E731
        match way:
            case "aws":
                return "AKIA" + some(16, string.ascii_uppercase + string.digits)
            case "github":
                return "ghp_" + some(36)
            case "slack":
                return f"xoxb-{some(12, string.digits)}-{some(24)}"
            case "stripe":
                return "sk_live_" + some(24)
            case "openai":
                return "sk-proj-" + some(40)
            case "jwt":
                return f"eyJhbGciOiJIUzI1NiJ9.{some(60)}.{some(43)}"
            case _:
                return self.random.choice(
                    [some(12) + "7!", f"{self.fake.word()}-{some(6)}#4", some(20) + "9"]
                )


def nhs(random: Random) -> str:
    """Return a valid NHS number, in one of the ways it is written."""
    while True:
        digits = [random.randrange(10) for _ in range(9)]
        check = 11 - sum((10 - at) * digit for at, digit in enumerate(digits)) % 11
        if check != 10:
            number = "".join(map(str, [*digits, check % 11]))
            return number if random.random() < 0.3 else f"{number[:3]} {number[3:6]} {number[6:]}"


_MONTHS = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "pl": "stycznia lutego marca kwietnia maja czerwca"
    " lipca sierpnia września października listopada grudnia",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "sv": "januari februari mars april maj juni juli augusti september oktober november december",
}


def _ways(language: str) -> list:
    month = lambda day: _MONTHS[language].split()[day.month - 1]  # noqa: E731
    numeric = {"de": ".", "pl": ".", "nl": "-", "sv": "-"}.get(language, "/")
    ways = [
        lambda day: day.isoformat(),
        lambda day: day.strftime(f"%d{numeric}%m{numeric}%Y"),
        lambda day: day.strftime(f"%d{numeric}%m{numeric}%y"),
        lambda day: f"{day.day}{'.' if language == 'de' else ''} {month(day)} {day.year}",
    ]
    if language in ("es", "pt"):
        ways.append(lambda day: f"{day.day} de {month(day)} de {day.year}")
    if language == "de":
        ways.append(lambda day: f"{day.day}.{day.month}.{day.year}")
    return ways


def _ordinal(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


_DATES = {language: _ways(language) for language in _MONTHS}
_DATES["en"] = [
    lambda day: day.isoformat(),
    lambda day: day.strftime("%m/%d/%Y"),
    lambda day: day.strftime("%d/%m/%y"),
    lambda day: day.strftime("%B %d, %Y"),
    lambda day: day.strftime("%d %b %Y"),
    lambda day: day.strftime("%b %d, %Y"),
    lambda day: f"{day.day}{_ordinal(day.day)} of {day:%B %Y}",
]


class Misleading:
    """Values that look personal and are not."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.fake = Faker("en_US")
        self.fake.seed_instance(seed)

    def make(self, token: str) -> str:
        """Return a value for a token of a negative text."""
        if token.startswith("digits"):
            return str(self.random.randint(1, 9)) + "".join(
                self.random.choices("0123456789", k=int(token[6:]) - 1)
            )
        if token.startswith("hex"):
            return "".join(self.random.choices("0123456789abcdef", k=int(token[3:])))
        if token == "uuid":
            return str(self.fake.uuid4())
        if token == "sku":
            return self.fake.bothify("??-#####-??", letters=string.ascii_uppercase)
        number = self.fake.credit_card_number("visa16")
        wrong = number[:-1] + str((int(number[-1]) + self.random.randint(1, 9)) % 10)
        return " ".join(re.findall("....", wrong)) if self.random.random() < 0.5 else wrong


def all_texts(part: str, seed: int = 1) -> Iterator[Labelled]:
    """Yield the texts of a part and those that hold nothing."""
    yield from corpus(part, seed)
    yield from negatives(seed)

"""Currencies as they are printed, and the one that an invoice is in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

#: Signs that name one currency.
_ONE = {
    "€": "EUR", "£": "GBP", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "฿": "THB",
    "₫": "VND", "₴": "UAH", "₦": "NGN", "US$": "USD", "USD$": "USD", "$US": "USD", "A$": "AUD",
    "AU$": "AUD", "C$": "CAD", "CA$": "CAD", "HK$": "HKD", "S$": "SGD", "NZ$": "NZD", "R$": "BRL",
    "MX$": "MXN", "NT$": "TWD", "zł": "PLN", "Kč": "CZK", "Rs.": "INR", "Rs": "INR", "SFr.": "CHF",
    "sFr.": "CHF", "Fr.": "CHF", "Ft": "HUF", "lei": "RON", "Euro": "EUR", "Euros": "EUR",
    "EURO": "EUR", "euro": "EUR", "euros": "EUR", "лв": "BGN", "INR.": "INR", "Eur": "EUR",
    "Dollars": "USD", "RM": "MYR",
}  # fmt: skip

#: Signs shared by several currencies, with the countries that decide.
_SHARED = {
    "$": {
        "US": "USD",
        "CA": "CAD",
        "AU": "AUD",
        "NZ": "NZD",
        "HK": "HKD",
        "SG": "SGD",
        "MX": "MXN",
        "TW": "TWD",
    },
    "¥": {"JP": "JPY", "CN": "CNY"},
    "￥": {"JP": "JPY", "CN": "CNY"},
    "kr": {"SE": "SEK", "NO": "NOK", "DK": "DKK", "IS": "ISK"},
    "kr.": {"SE": "SEK", "NO": "NOK", "DK": "DKK", "IS": "ISK"},
}

CODES = frozenset(
    (
        "EUR", "USD", "GBP", "INR", "CHF", "JPY", "CNY", "AUD", "CAD", "NZD", "HKD", "SGD", "SEK",
        "NOK", "DKK", "PLN", "CZK", "HUF", "RON", "BGN", "TRY", "RUB", "BRL", "MXN", "ZAR", "AED",
        "SAR", "ILS", "KRW", "THB", "MYR", "IDR", "PHP", "VND", "TWD", "UAH", "ISK", "CLP", "COP",
        "ARS", "PEN", "EGP", "KES", "NGN", "PKR", "BDT", "LKR", "NPR", "QAR", "KWD",
    )
)  # fmt: skip

#: A code or sign of any currency, for use inside other patterns (longest first).
SIGN = "|".join(
    sorted((*(re.escape(sign) for sign in (*_ONE, *_SHARED)), *CODES), key=len, reverse=True),
)

_EURO_COUNTRIES = frozenset(
    (
        "AT", "BE", "CY", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "IE", "IT", "LT", "LU", "LV", "MT",
        "NL", "PT", "SI", "SK",
    )
)  # fmt: skip
_NATIONAL = {
    "US": "USD", "GB": "GBP", "IN": "INR", "CH": "CHF", "CA": "CAD", "AU": "AUD", "NZ": "NZD", "SE": "SEK",
    "NO": "NOK", "DK": "DKK", "PL": "PLN", "CZ": "CZK", "HU": "HUF", "JP": "JPY", "HK": "HKD", "SG": "SGD",
}  # fmt: skip

_IN_WORDS = (
    (r"\bu\.?s\.?(?:a\.?)? dollars?\b", "USD"),
    (r"\baustralian dollars?\b", "AUD"), (r"\bcanadian dollars?\b", "CAD"),
    (r"\bhong kong dollars?\b", "HKD"), (r"\bsingapore dollars?\b", "SGD"), (r"\bpounds? sterling\b", "GBP"),
    (r"\bindian rupees?\b|\brupees\b", "INR"), (r"\bswiss francs?\b|\bschweizer franken\b", "CHF"),
)  # fmt: skip


def national(country: str) -> str | None:
    """The currency of a country that this module knows."""
    return "EUR" if country in _EURO_COUNTRIES else _NATIONAL.get(country)


def currencies_of(sign: str) -> tuple[str, ...]:
    """The currencies that a printed sign or code can stand for."""
    sign = sign.strip()
    if sign in CODES:
        return (sign,)
    if sign in _ONE:
        return (_ONE[sign],)
    return tuple(_SHARED.get(sign, {}).values())


def resolve(sign: str, countries: Sequence[str], named: Sequence[str]) -> str | None:
    """The currency that a sign stands for in this document; None if that stays open.

    Args:
        sign: a printed sign or code.
        countries: the countries that the document points to.
        named: the currencies that it names without doubt elsewhere.
    """
    possible = currencies_of(sign)
    if len(possible) == 1:
        return possible[0]
    by_name = [code for code in possible if code in named]
    if len(by_name) == 1:
        return by_name[0]
    by_country = {code for country, code in _SHARED.get(sign.strip(), {}).items() if country in countries}
    return by_country.pop() if len(by_country) == 1 and not by_name else None


def named_currencies(text: str, folded: str) -> tuple[str, ...]:
    """The currencies that a text names beyond doubt, most frequent first."""
    found: Counter[str] = Counter()
    for match in re.finditer(rf"(?<![A-Za-z])(?:{SIGN})(?![A-Za-z])", text):
        possible = currencies_of(match[0])
        alphabetic = match[0].strip(".").isalpha()
        # "Rs", "lei" or "CHF" in running text count only beside a number or standing alone as a code.
        if len(possible) == 1 and (not alphabetic or match[0] in CODES or _beside_number(text, match)):
            found[possible[0]] += 1
    for pattern, code in _IN_WORDS:
        found[code] += len(re.findall(pattern, folded))
    return tuple(code for code, count in found.most_common() if count)


def _beside_number(text: str, match: re.Match[str]) -> bool:
    around = text[max(match.start() - 3, 0) : match.start()] + text[match.end() : match.end() + 4]
    return any(character.isdigit() for character in around)

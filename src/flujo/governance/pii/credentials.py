"""Secrets that let their holder in: keys, tokens, and what is assigned to the name of a secret."""

import re
from collections.abc import Iterator
from math import log2

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.words import words

_PREFIXED = (
    ("secret.aws", ("KIA", "SIA", "BIA", "CCA", "ROA", "IDA"), r"A(?:[KSB]I|CC|RO|ID)A[A-Z0-9]{16}(?!\w)"),
    ("secret.github", ("gh", "github_pat_"), r"(?:gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_\w{22,255})"),
    ("secret.gitlab", ("glpat-", "gldt-", "glrt-"), r"gl(?:pat|dt|rt)-[\w-]{20,64}"),
    ("secret.slack", ("xox", "hooks.slack.com"), r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    ("secret.stripe", ("k_live_", "k_test_", "whsec_"), r"(?:[srp]k_(?:live|test)_|whsec_)[\w+/=]{10,200}"),
    ("secret.google", ("AIza", "GOCSPX-", "ya29."), r"(?:AIza[\w-]{35}|GOCSPX-[\w-]{28}|ya29\.[\w-]{20,})"),
    ("secret.openai", ("sk-",), r"sk-(?:(?:proj|svcacct|admin|ant|or)-)?[\w-]{20,250}"),
    ("secret.huggingface", ("hf_",), r"hf_[A-Za-z0-9]{30,60}"),
    ("secret.npm", ("npm_",), r"npm_[A-Za-z0-9]{36}"),
    ("secret.pypi", ("pypi-",), r"pypi-[\w-]{40,300}"),
    ("secret.sendgrid", ("SG.",), r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    ("secret.twilio", ("SK", "AC"), r"(?:SK|AC)[0-9a-f]{32}(?![0-9A-Za-z])"),
    ("secret.jwt", ("eyJ",), r"eyJ[\w-]{8,4000}\.[\w-]{2,8000}\.[\w-]{0,4000}"),
    ("secret.digitalocean", ("dop_v1_",), r"dop_v1_[0-9a-f]{64}"),
    ("secret.azure", ("AccountKey=", "AccessKey="), r"(?:Account|SharedAccess)Key=[\w+/]{40,100}={0,2}"),
)  # fmt: skip
_COMPILED = tuple(
    (rule, starts, re.compile(f"(?<![A-Za-z0-9_]){pattern}")) for rule, starts, pattern in _PREFIXED
)
_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}(?:PRIVATE KEY|PRIVATE KEY BLOCK)-----[^-]{0,20000}"
    r"(?:-----END [A-Z0-9 ]{1,40}-----)?"
)
_BEARER = re.compile(r"[Bb](?<!\w.)(?:earer|asic|EARER|ASIC)[ ]{1,2}(?P<v>[A-Za-z0-9._~+/=-]{16,4000})")
_USERINFO = re.compile(r"://[^\s/:@]{0,64}:(?P<v>[^\s/@]{3,128})@")
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key"
    r"|access[_-]?key|private[_-]?key|client[_-]?secret|auth[_-]?key"
    r"|credentials?"
    r"|passwort|kennwort|contraseña|mot[_ ]de[_ ]passe|senha|wachtwoord)"
    r"(?:[_-][A-Za-z0-9]{1,12}){0,2}(?![A-Za-z0-9_])"
    r"[\"']?[ ]{0,3}(?:(?:is|ist|lautet|est|es|è|was|war|jest)[ ]|=>|:=|=|:)[ ]{0,3}"
    r"(?P<q>[\"'`]?)(?P<v>[^\s\"'`,;<>]{6,400})",
    re.IGNORECASE,
)
_HINTS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "credential",
    "kennwort",
    "contraseña",
    "mot",
    "senha",
    "wachtwoord",
)
# What a program assigns: a name, an attribute, a call.
_CODE = re.compile(r"[A-Za-z_][A-Za-z_]*(?:\.[A-Za-z_]\w*)*(?:[(\[]|\Z)|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*[(\[]")
_OPEN = words("secrets", "open")


def secrets(text: str) -> Iterator[Finding]:
    """Find what opens doors: by the marks of their makers, and by the names they are assigned to."""
    for rule, starts, pattern in _COMPILED:
        if any(start in text for start in starts):
            for match in pattern.finditer(text):
                yield Finding(match.start(), match.end(), "secret", 1.0, rule)
    if "-----BEGIN" in text:
        for match in _PEM.finditer(text):
            yield Finding(match.start(), match.end(), "secret", 1.0, "secret.pem")
    if "earer" in text or "asic" in text or "EARER" in text:
        for match in _BEARER.finditer(text):
            if _random(match["v"]):
                yield Finding(*match.span("v"), "secret", 0.95, "secret.bearer")
    if "://" in text and "@" in text:
        for match in _USERINFO.finditer(text):
            yield Finding(*match.span("v"), "secret", 0.95, "secret.userinfo")
    yield from _assigned(text)


def _assigned(text: str) -> Iterator[Finding]:
    """Find values given to names such as `api_key`; words that a sentence may use are left alone."""
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return
    for match in _ASSIGNED.finditer(text):
        value = match["v"].rstrip(".)]}")
        quoted = bool(match["q"])
        if (
            len(value) < 6
            or value.casefold() in _OPEN
            or value.startswith(("$", "{{", "<", "[", "http://", "https://"))
        ):
            continue
        if not quoted and _CODE.match(value):
            continue
        mixed = any(letter.isdigit() for letter in value) or any(not letter.isalnum() for letter in value)
        if (quoted and len(value) >= 8) or mixed or _random(value):
            yield Finding(match.start("v"), match.start("v") + len(value), "secret", 0.85, "secret.assigned")


def _random(value: str) -> bool:
    """Return whether letters and digits are mixed as chance mixes them (by Shannon's entropy)."""
    size = len(value)
    if size < 16:
        return False
    bits = -sum(count / size * log2(count / size) for count in map(value.count, set(value)))
    return bits >= 3.3 and any(letter.isdigit() for letter in value)

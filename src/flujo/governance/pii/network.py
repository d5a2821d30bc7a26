"""Addresses of networks: e-mail, URLs, IP and MAC addresses."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

from flujo.governance.pii.finding import Finding
from flujo.governance.pii.labels import REVISION, label_before

_LACOL = re.compile(r"[\w.!#$'*+^{|}~-]{1,64}")  # the part before the @, read from right to left
_DOMAIN = re.compile(
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?:[^\W\d_]{2,24}|xn--[a-z0-9-]{1,59})"
    r"(?![\w])|\[[0-9a-fA-F.:]{3,45}\]"
)
_SPELLED = re.compile(
    r"(?<![\w.+-])[\w.+-]{1,64}[ ]?[\[({][ ]?(?:at|AT|ät|arroba|@)[ ]?[\])}][ ]?[\w-]{1,63}"
    r"(?:[ ]?(?:\.|[\[({][ ]?(?:dot|DOT|punkt|punto|point)[ ]?[\])}])[ ]?[\w-]{1,63}){1,4}"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}\Z")
_WWW = re.compile(
    r"[wW](?<![\w.@-].)[wW]{2}\d?\.[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}"
    r"(?::\d{2,5})?(?:/[^\s<>\"'`{}|\\^]{0,2000})?"
)
_V4 = re.compile(
    r"\d(?<![\w.-]\d)(?<![A-Za-z]/\d)\d{0,2}\.(?:\d{1,3})\.(?:\d{1,3})\.(?:\d{1,3})"
    r"(?:/\d{1,2}(?!\d)|:\d{1,5}(?!\d))?(?![\w]|\.\d|-\d)"
)
_COLONS = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,45}(?:\.\d{1,3}){0,3}(?:%\w{1,16}|/\d{1,3})?(?![\w:])")
_MAC = re.compile(
    r"[0-9A-Fa-f](?<![\w:.-].)[0-9A-Fa-f](?:(?P<s>[:-])[0-9A-Fa-f]{2}"
    r"(?:(?P=s)[0-9A-Fa-f]{2}){4}|[0-9A-Fa-f]{2}(?:\.[0-9A-Fa-f]{4}){2})"
    r"(?![\w]|[:-]\w)"
)
_TRAILING = ".,;:!?)]}'\"*_"


def emails(text: str) -> Iterator[Finding]:
    """Find e-mail addresses, from the `@` to both sides."""
    at = text.find("@")
    last = 0
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        begin = max(last, at - 64)
        reverse = _LACOL.match(text[begin:at][::-1]) if domain else None
        if domain and reverse:
            local = reverse[0][::-1].lstrip("./'`*=?!#&{|~^$%+-")
            if local and not local.endswith("."):
                yield Finding(at - len(local), domain.end(), "email", 1.0, "email.address")
                last = domain.end()
        at = text.find("@", at + 1)
    if "at" in text.lower() or "arroba" in text:
        for match in _SPELLED.finditer(text) if any(bracket in text for bracket in "[({") else ():
            yield Finding(match.start(), match.end(), "email", 0.8, "email.spelled")


def urls(text: str) -> Iterator[Finding]:
    """Find URLs with a scheme, and names that begin with `www` or end as domains do."""
    at = text.find("://")
    while at >= 0:
        scheme = _SCHEME.search(text[max(0, at - 21) : at])
        rest = _REST.match(text, at + 3)
        if scheme and rest:
            end = rest.end()
            yield Finding(at - len(scheme[0]), _trimmed(text, at, end), "url", 0.9, "url.scheme")
            at = end - 1
        at = text.find("://", at + 1)
    if "." not in text:
        return
    for match in _BARE.finditer(text):
        yield Finding(match.start(), _trimmed(text, match.start(), match.end()), "url", 0.6, "url.domain")
    for match in _WWW.finditer(text):
        yield Finding(match.start(), _trimmed(text, match.start(), match.end()), "url", 0.85, "url.www")


_BARE = re.compile(
    r"(?<![\w@./-])[\w-]{1,63}(?:\.[\w-]{1,63}){0,4}\.(?:(?:com|org"
    r"|net|info|biz|edu|gov)(?![\w@.-])(?:/[^\s<>\"'`{}|\\^]{0,2000})?"
    r"|[a-z]{2,6}/[^\s<>\"'`{}|\\^]{1,2000})"
)
_REST = re.compile(r"[^\s<>\"'`{}|\\^]{2,4000}")


def _trimmed(text: str, start: int, end: int) -> int:
    """Return where a URL ends, without the punctuation of the sentence around it."""
    while end > start and text[end - 1] in _TRAILING:
        if text[end - 1] == ")" and "(" in text[start:end]:
            break
        end -= 1
    return end


def ips(text: str) -> Iterator[Finding]:
    """Find IPv4 and IPv6 addresses; four numbers called a version are none."""
    if text.count(".") >= 3:
        for match in _V4.finditer(text):
            parts = match[0].partition("/")[0].partition(":")[0].split(".")
            if (
                all(int(part) < 256 and (part == "0" or part[0] != "0") for part in parts)
                and label_before(text, match.start(), 4) != REVISION
            ):
                yield Finding(match.start(), match.end(), "ip", 0.9, "ip.v4")
    if text.count(":") >= 2:
        for match in _COLONS.finditer(text):
            found = match[0].rstrip(":") if not match[0].endswith("::") else match[0]
            if found.count(":") >= 2 and _is_v6(found.partition("/")[0]):
                yield Finding(match.start(), match.start() + len(found), "ip", 0.9, "ip.v6")


def _is_v6(found: str) -> bool:
    # `::` and `1::2` are written for other things as well (slices, C++ names, ratios).
    if len(found) < 6 and found != "::1":
        return False
    try:
        IPv6Address(found)
    except AddressValueError:
        return False
    return True


def macs(text: str) -> Iterator[Finding]:
    """Find the addresses of network cards, in pairs or in the groups of four that some vendors use."""
    for match in _MAC.finditer(text) if any(mark in text for mark in ":-.") else ():
        yield Finding(match.start(), match.end(), "mac", 0.95, "mac.address")

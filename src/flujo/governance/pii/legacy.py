"""Bytes that are text, though not in UTF-8: what old programs wrote is searched as what it says."""

from __future__ import annotations

import codecs
import re

_MARKS = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
# Pictures, archives and keys are full of these; texts of one byte a character have none.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def text_of(value: bytes) -> tuple[str, str]:
    """Return bytes as a text, and the codec by which they come back; two empty texts where they are none.

    What has one byte for a character is read as Latin-1: whatever code page it was, figures and the letters
    of ASCII are the same, and each byte comes back.
    """
    for mark, codec in _MARKS:
        if value.startswith(mark):
            try:
                return value.decode(codec), codec
            except UnicodeDecodeError:
                return "", ""
    return ("", "") if _CONTROLS.search(value) else (value.decode("latin-1"), "latin-1")


def bytes_of(text: str, codec: str) -> bytes:
    """Return a text as bytes; characters that its codec does not have become question marks."""
    return text.encode(codec, "replace")

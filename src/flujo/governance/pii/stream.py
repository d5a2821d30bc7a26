"""Scrubbing a stream: an identifier that the end of a chunk cuts in two is found, and little is held back."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from flujo.governance.pii.finding import Finding, settle
from flujo.governance.pii.known import KnownValues

if TYPE_CHECKING:
    from flujo.governance.pii.scrub import Scrubber

HOLD = 256
"""How many characters are held back at least: no identifier in plain text is longer, but keys and URLs."""


AGAIN = 0.55
"""How sure a part of a name is that was found before in full."""
MOST_NAMES = 200
"""How many names of a stream are remembered."""
_PEM_END = re.compile(r"-----END [A-Z0-9 ]{1,40}-----")
_BLANK = re.compile(r"\s")


class StreamScrubber:
    """Takes a text in pieces and gives it back without personal data.

    What may still be the beginning of an identifier is held back. Where something found is longer than
    what may be held (a private key, a long URL), its replacement is given once and its rest is swallowed.

    Args:
        scrubber: What is looked for, and what stands instead.
        known: Values known to be personal.
        hold: How many characters to hold back, at least 64; a few times as many are held at most.
    """

    def __init__(self, scrubber: "Scrubber", *, known: KnownValues | None = None, hold: int = HOLD) -> None:
        self._scrubber = scrubber
        self._known = scrubber.known | known if known else scrubber.known
        self._met: set[str] = set()  # the names that were found so far, to know them in what follows
        self._met_known = KnownValues()
        self._hold = max(64, hold)
        self._text = ""
        self._given = 0  # so much of the text was given already, and stays to be read beside the rest
        self._swallowing = ""  # the rule of a finding that was cut off, and whose rest is not to be given
        self.findings: list[Finding] = []

    def feed(self, chunk: str) -> str:
        """Take a piece, and return what is certain by now."""
        self._text += chunk
        if len(self._text) - self._given < 2 * self._hold:
            return ""
        return self._give(final=False)

    def close(self) -> str:
        """Return what was held back. The stream is over."""
        return self._give(final=True)

    def _give(self, *, final: bool) -> str:
        if self._swallowing and not self._swallowed(final=final):
            return ""
        text, start = self._text if final else self._whole_words(), self._given
        found = self._found(text, start)
        cut = len(text) if final else self._cut(text, found)
        parts: list[str] = []
        at = start
        for finding in found:
            if finding.start >= cut:
                break
            parts += (text[at : finding.start], self._scrubber.instead(finding.entity))
            self.findings.append(finding)
            at = finding.end
        self._meet(text, found, cut)
        parts.append(text[at:cut])
        self._keep(max(at, cut))
        return "".join(parts)

    def _whole_words(self) -> str:
        """Return the text without a word at its end that may go on: half a name is another name."""
        end = len(self._text)
        last = max(self._text.rfind(mark, max(self._given, end - self._hold // 2)) for mark in " \n\t")
        return self._text[: last + 1] if last >= 0 else self._text

    def _found(self, text: str, start: int) -> list[Finding]:
        found = self._scrubber.find(text, known=self._known)
        if len(self._met_known):
            again = (replace(one, score=AGAIN, rule="name.again") for one in self._met_known.find(text))
            found = settle([*found, *again])
        return [one for one in found if one.end > start]

    def _meet(self, text: str, found: list[Finding], cut: int) -> None:
        """Remember the names that were given by now: what follows may call people by a part of them."""
        names = {
            text[one.start : one.end] for one in found if one.rule.startswith("name.") and one.end <= cut
        }
        fresh = {name for name in names if " " in name} - self._met
        if fresh and len(self._met) < MOST_NAMES:
            self._met |= fresh
            self._met_known = KnownValues({"name": self._met})

    def _cut(self, text: str, found: list[Finding]) -> int:
        """Return where to stop: between words, not within something found, unless it is too long to hold."""
        size = len(text)
        wanted = size - self._hold
        cut = wanted
        while cut > self._given and wanted - cut < self._hold // 2 and not text[cut - 1].isspace():
            cut -= 1
        if not text[cut - 1 : cut].isspace():
            cut = wanted
        for finding in found:
            if finding.start < cut < finding.end:
                if size - finding.start <= 4 * self._hold:
                    return max(finding.start, self._given)
                # Its end may be in what comes next, if it reaches as far as the text does.
                self._swallowing = finding.rule if finding.end >= size - 2 else ""
                return finding.end
        return cut

    def _swallowed(self, *, final: bool) -> bool:
        """Drop what a cut finding goes on with; tell whether its end was found."""
        text = self._text[self._given :]
        ending = _PEM_END.search(text) if self._swallowing == "secret.pem" else _BLANK.search(text)
        if ending:
            end = ending.end() if self._swallowing == "secret.pem" else ending.start()
            self._text, self._given, self._swallowing = text[end:], 0, ""
            return True
        # The end itself may be cut in two: its beginning stays.
        self._text, self._given = "" if final else text[-64:] if self._swallowing == "secret.pem" else "", 0
        return final

    def _keep(self, given: int) -> None:
        """Keep what was not given, and some of what was, to read it beside: in whole groups of base64."""
        begin = max(0, given - self._hold)
        blank = max(self._text.rfind(mark, 0, given) for mark in " \n\t")
        if blank < begin:
            begin -= (begin - blank - 1) % 4
        self._text, self._given = self._text[begin:], given - begin


def scrub_chunks(scrubber: StreamScrubber, chunks: Iterable[str]) -> Iterator[str]:
    """Yield a text that comes in pieces, without personal data."""
    for chunk in chunks:
        if clean := scrubber.feed(chunk):
            yield clean
    if clean := scrubber.close():
        yield clean


async def scrub_chunks_async(scrubber: StreamScrubber, chunks: AsyncIterable[str]) -> AsyncIterator[str]:
    """Yield a text that comes in pieces, without personal data, as it arrives."""
    async for chunk in chunks:
        if clean := scrubber.feed(chunk):
            yield clean
    if clean := scrubber.close():
        yield clean

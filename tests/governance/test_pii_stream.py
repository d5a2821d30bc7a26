"""Streams: whatever the pieces, the text that comes out is the text scrubbed whole."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pii.corpus import corpus
from flujo.governance import PIIScrubbingPolicy

POLICY = PIIScrubbingPolicy(known={"name": ["Jan Kowalski"]})
FILLER = "The visit went well and nothing else was said about it that day. " * 6
TEXT = (
    f"Write to jane@example.com or +49 (0) 9141 777631. {FILLER}The card 4111 1111 1111 1111 "
    f"and Kowalski's IBAN DE89 3704 0044 0532 0130 00.\n{FILLER}{FILLER}Born on 12 March 1985, "
    f"12 Baker Street, London NW1 6XE. {FILLER}"
    f"Data amFuZS5kb2VAZXhhbXBsZS5jb20= and jane%40example.com, see https://example.com/a/b. {FILLER}Bye"
)
WHOLE = POLICY.scrub(TEXT)[0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 64, 255, 256, 257, 1000, 100_000])
def test_pieces_of_any_size(size: int) -> None:
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert "".join(POLICY.scrub_stream(pieces)) == WHOLE


@given(st.lists(st.integers(0, len(TEXT)), max_size=12), st.integers(64, 400))
@settings(max_examples=60, deadline=None)
def test_pieces_cut_anywhere(cuts: list[int], hold: int) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    pieces = [TEXT[begin:end] for begin, end in pairwise(places)]
    assert "".join(POLICY.scrub_stream(pieces, hold=hold)) == WHOLE


@pytest.mark.parametrize("size", [1, 50, 5000])
def test_a_key_longer_than_what_is_held(size: int) -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "abcdEFGH01234567\n" * 200 + "-----END RSA PRIVATE KEY-----"
    text = f"{FILLER}key: {key} and bye, jane@example.com"
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    clean = "".join(POLICY.scrub_stream(pieces))
    assert "abcdEFGH" not in clean
    assert clean == f"{FILLER}key: [SECRET] and bye, [EMAIL]"


def test_little_is_held_back() -> None:
    taken = given_ = most = 0

    def pieces() -> Iterator[str]:
        nonlocal taken
        for _ in range(4000):
            taken += 5
            yield "word "

    for piece in POLICY.scrub_stream(pieces(), hold=256):
        given_ += len(piece)
        most = max(most, taken - given_)
    assert given_ == 4000 * 5
    assert most <= 2 * 256


def test_a_long_text_in_small_pieces() -> None:
    """A name may be known from what comes later, where the text is whole; all else is found alike."""
    text = "\n".join(labelled.text for labelled in corpus("training", copies=1))
    pieces = (text[at : at + 11] for at in range(0, len(text), 11))
    streamed, whole = (
        Counter(re.findall(r"\[[A-Z_]+\]", clean))
        for clean in ("".join(POLICY.scrub_stream(pieces)), POLICY.scrub(text)[0])
    )
    assert abs(streamed.pop("[NAME]") - whole.pop("[NAME]")) <= 5
    assert streamed.keys() == whole.keys()
    assert sum(abs(streamed[label] - count) for label, count in whole.items()) <= 2


def test_a_name_is_known_in_what_follows() -> None:
    clean = "".join(POLICY.scrub_stream([f"Patient: Chidi Okonkwo. {FILLER}{FILLER}", "Okonkwo left."]))
    assert clean == f"Patient: [NAME]. {FILLER}{FILLER}[NAME] left."


async def test_an_asynchronous_stream() -> None:
    async def pieces() -> AsyncIterator[str]:
        for letter in "to jane@example.com":
            yield letter

    assert "".join([piece async for piece in POLICY.scrub_stream_async(pieces())]) == "to [EMAIL]"

"""The witness: what user code really did, written down outside of any journal."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from flujo import StepInfo
from flujo.testing import Died


class Deed(NamedTuple):
    """One thing that user code, or a person, did.

    Attributes:
        what: one of step, predicate, effect, undo, validator, prompt, answer and hook.
        where: The address under which the journal would know it.
        attempt: Which attempt, for a step that knows it; else 0.
        key: Its idempotency key, where it knows it.
    """

    what: str
    where: str
    attempt: int = 0
    key: str = ""


class Witness:
    """Keeps deeds in memory, or in a file that outlives the process."""

    def __init__(self) -> None:
        self.deeds: list[Deed] = []
        self.dead = False
        self._file = -1

    def reset(self) -> None:
        """Forget everything, for the next experiment."""
        self.deeds = []
        self.dead = False

    def write_to(self, path: Path) -> None:
        """Append deeds to a file, one write each, so that a kill tears none apart."""
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def saw(self, deed: Deed) -> None:
        if self.dead:
            raise Died
        self.deeds.append(deed)
        if self._file >= 0:
            os.write(self._file, json.dumps(deed).encode() + b"\n")


def read_deeds(path: Path) -> list[Deed]:
    """Return the deeds in a file."""
    if not path.exists():
        return []
    return [Deed(*json.loads(line)) for line in path.read_bytes().splitlines()]


WITNESS = Witness()


def did(what: str, where: str) -> None:
    """Say that user code runs here."""
    WITNESS.saw(Deed(what, where))


def acts(info: StepInfo) -> None:
    """Say that a step's agent runs here."""
    WITNESS.saw(Deed("step", info.address, info.attempt, info.idempotency_key))

"""A disk whose power is cut: what was written and not yet synced is kept, lost or torn, by chance.

A diary holds what one process asked of the disk, in order, and what it told its user. A power cut at any
place of it leaves what POSIX promises and no more: a file has what it had at its last sync, and of what was
written since, any part in any order; a folder has the names that it had at its last sync, and of those made
or removed since, any. This is harsher than most file systems are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple, assert_never

SECTOR = 512
"""What a disk writes as a whole, in bytes."""


class Create(NamedTuple):
    """A file that was not there is made."""

    name: str


class Delete(NamedTuple):
    """A file is removed."""

    name: str


class Write(NamedTuple):
    """Bytes are written to a file."""

    name: str
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file is cut to a size."""

    name: str
    size: int


class Sync(NamedTuple):
    """What a file holds reaches the disk; a folder, where the name is empty."""

    name: str


class Told(NamedTuple):
    """The user is told that the journal has this: the kind of an event and its address."""

    run: str
    kind: str
    address: str


Entry = Create | Delete | Write | Truncate | Sync | Told


@dataclass(slots=True)
class File:
    """A file: what it surely holds, and what was done to it since its last sync."""

    content: bytearray = field(default_factory=bytearray)
    since: list[Write | Truncate] = field(default_factory=list[Write | Truncate])

    def sync(self) -> None:
        for change in self.since:
            _apply(self.content, change)
        self.since.clear()


class Disk:
    """A folder on a disk, as far as a diary has got.

    Args:
        files: What is there, synced, before the diary begins.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self._names = {name: File(bytearray(content)) for name, content in files.items()}
        self._synced = dict(self._names)
        self._since: list[tuple[str, File | None]] = []

    def follow(self, diary: Sequence[Entry]) -> None:
        """Do what a diary says."""
        for entry in diary:
            match entry:
                case Create(name):
                    self._put(name, File())
                case Delete(name):
                    self._put(name, None)
                case Write(name) | Truncate(name):
                    self._names[name].since.append(entry)
                case Sync(""):
                    self._synced = dict(self._names)
                    self._since.clear()
                case Sync(name):
                    self._names[name].sync()
                case Told():
                    pass
                case _:
                    assert_never(entry)

    def _put(self, name: str, file: File | None) -> None:
        self._since.append((name, file))
        if file is None:
            del self._names[name]
        else:
            self._names[name] = file

    def cut(self, chance: Random, folder: Path) -> None:
        """Write what a power cut leaves into a folder."""
        names = dict(self._synced)
        for name, file in self._since:
            if chance.random() < 0.5:
                if file is None:
                    names.pop(name, None)
                else:
                    names[name] = file
        kept = chance.choice((0.0, 0.3, 0.7, 0.95))
        for name, file in names.items():
            content = bytearray(file.content)
            for change in file.since:
                if chance.random() < kept:
                    _apply(content, change)
                elif isinstance(change, Write) and chance.random() < 0.3:
                    _tear(content, change, chance)
            (folder / name).write_bytes(content)


def _apply(content: bytearray, change: Write | Truncate) -> None:
    match change:
        case Write(_, offset, data):
            _grow(content, offset)
            content[offset : offset + len(data)] = data
        case Truncate(_, size):
            del content[size:]
            _grow(content, size)


def _tear(content: bytearray, change: Write, chance: Random) -> None:
    """Let each sector that a write touches hold what it held, what is written, or noise in its place."""
    place, end = change.offset, change.offset + len(change.data)
    while place < end:
        after = min(end, (place // SECTOR + 1) * SECTOR)
        fate = chance.random()
        if fate < 0.6:
            new = change.data[place - change.offset : after - change.offset]
            noise = chance.randbytes(after - place)
            _grow(content, place)
            content[place:after] = new if fate < 0.4 else noise
        place = after


def _grow(content: bytearray, size: int) -> None:
    content.extend(bytes(max(0, size - len(content))))

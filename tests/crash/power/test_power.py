"""Power cuts, which killed processes do not show: what was acknowledged is on the disk, or it is lost."""

from pathlib import Path
from random import Random

import pytest

from tests.crash.power.cuts import Tally, cut_power
from tests.crash.power.disk import Create, Delete, Disk, Entry, Sync, Truncate, Write


def nothing_is_lost(tally: Tally, cuts: int) -> None:
    assert tally.broken == {}
    assert (tally.cuts, tally.lost) == (cuts, 0)
    assert tally.told > 10 * cuts
    assert tally.resumed == 4 * cuts


async def test_no_acknowledged_event_is_lost(tmp_path: Path) -> None:
    nothing_is_lost(await cut_power(tmp_path, 1, 60), 60)


async def test_normal_loses_the_last_events_and_nothing_else(tmp_path: Path) -> None:
    """This also shows that the simulator sees a loss."""
    tally = await cut_power(tmp_path, 1, 30, "NORMAL")
    assert tally.broken == {}, "what is left is the journal up to an earlier moment"
    assert tally.losing > 5
    assert tally.resumed == 4 * 30


async def test_a_disk_that_lies_breaks_stores(tmp_path: Path) -> None:
    """No setting helps on a disk that says it has synced and has not; the simulator sees that, too."""
    tally = await cut_power(tmp_path, 1, 30, "LIES")
    assert tally.broken
    assert tally.losing > 0


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10))
async def test_no_acknowledged_event_is_lost_in_many_power_cuts(tmp_path: Path, seed: int) -> None:
    nothing_is_lost(await cut_power(tmp_path, 1_000 + seed, 240), 240)


def left(folder: Path, seed: int, *diary: Entry) -> dict[str, bytes]:
    disk = Disk({})
    disk.follow(diary)
    place = folder / str(seed)
    place.mkdir()
    disk.cut(Random(seed), place)
    return {file.name: file.read_bytes() for file in place.iterdir()}


def test_the_disk_keeps_what_was_synced(tmp_path: Path) -> None:
    made = (Create("a"), Sync(""), Write("a", 0, b"x" * 1024), Write("a", 1024, b"y"), Sync("a"))
    for seed in range(50):
        assert left(tmp_path, seed, *made) == {"a": b"x" * 1024 + b"y"}


def test_the_disk_keeps_and_loses_what_was_not_synced(tmp_path: Path) -> None:
    made = (Create("a"), Sync(""), Write("a", 0, b"o" * 1024), Sync("a"))
    since = (Write("a", 0, b"n" * 1024), Truncate("a", 600), Create("b"))
    found = [left(tmp_path, seed, *made, *since) for seed in range(200)]
    contents = {files["a"] for files in found}
    old, new = b"o" * 1024, b"n" * 1024
    torn = {new[:512] + old[512:], old[:512] + new[512:]}
    assert contents > {old, new, old[:600], new[:600], *torn}
    assert {"b" in files for files in found} == {True, False}
    gone = [left(tmp_path, 1_000 + seed, *made, Delete("a")) for seed in range(50)]
    assert {"a" in files for files in gone} == {True, False}

"""Looking whether everything that Flujo needs is well."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from flujo.cli.config import Config, load_config, unknown_variables
from flujo.cli.output import DONE, FAILED, colored, emit, emit_json, speaks_unicode, stdout
from flujo.cli.text import counted
from flujo.errors import FlujoError
from flujo.journal.sqlite_file import OLDEST_SQLITE
from flujo.journal.urls import place_of

Verdict = Literal["ok", "note", "bad"]

_NEEDED_SPACE = 100 * 2**20
# Names to import by, where they differ from the names to install by.
_IMPORTS = {"price-parser": "price_parser", "python-stdnum": "stdnum"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found: well, worth knowing, or bad, and then what to do."""

    name: str
    verdict: Verdict
    said: str
    fix: str = ""


def examine(store: str | None, *, as_json: bool) -> int:
    """Look at everything, print what was found, and return what the command exits with."""
    findings = list(_findings(store))
    bad = [one for one in findings if one.verdict == "bad"]
    if as_json:
        emit_json({"ok": not bad, "findings": findings})
        return FAILED if bad else DONE
    marks = (
        {"ok": "✓", "note": "!", "bad": "✗"}
        if speaks_unicode(stdout())
        else {"ok": "+", "note": "!", "bad": "x"}
    )
    width = max(len(one.name) for one in findings)
    for one in findings:
        emit(f"{marks[one.verdict]} {one.name:<{width}}  {one.said}")
        if one.fix:
            emit(f"  {'':<{width}}  To fix: {one.fix}")
    emit("all is well" if not bad else f"{counted(len(bad), 'thing')} to mend")
    return FAILED if bad else DONE


def _findings(store: str | None) -> Iterator[Finding]:
    yield _python()
    yield _sqlite()
    try:
        config = load_config(store=store)
    except FlujoError as error:
        yield Finding("settings", "bad", error.message, error.fix)
    else:
        yield _settings(config)
        yield from _policies(config)
        yield from _store(config.store)
    yield from _extras()
    yield from _variables()
    yield _terminal()


def _python() -> Finding:
    said = f"Python {platform.python_version()}, flujo {_version('flujo')}, {platform.system()}"
    return Finding("python", "ok", said)


def _sqlite() -> Finding:
    said = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        return Finding("sqlite", "bad", said, f"use a Python built with SQLite {oldest} or newer")
    return Finding("sqlite", "ok", said)


def _settings(config: Config) -> Finding:
    said = f"from {config.file}" if config.file else "no flujo.toml; all defaults"
    set_by = sorted({value.source for value in config.values.values()} - {"default", str(config.file)})
    return Finding("settings", "ok", said + (f", and {', '.join(set_by)}" if set_by else ""))


def _policies(config: Config) -> Iterator[Finding]:
    """Make the policies of the settings file, as whatever runs does."""
    from flujo.cli.declared import declared
    from flujo.engine.policies import judge_of

    try:
        judges = [judge_of(policy, str(config.file)) for policy in declared(config)]
    except FlujoError as error:
        yield Finding("policies", "bad", error.message, error.fix)
        return
    if judges:
        said = ", ".join(judge.id + (" (observing)" if judge.observes else "") for judge in judges)
        yield Finding("policies", "ok", said)


def _store(path: Path | str) -> Iterator[Finding]:
    if isinstance(path, str):
        yield _content(path)
        return
    if not path.exists():
        yield _place(path)
        return
    yield from _file(path)
    yield _content(path)


def _place(path: Path) -> Finding:
    folder = path.absolute().parent
    if not folder.is_dir():
        return Finding(
            "store", "bad", f"{path} cannot be made: {folder} does not exist", f"make the folder {folder}"
        )
    if not os.access(folder, os.W_OK):
        return Finding(
            "store", "bad", f"{path} cannot be made: {folder} is read-only", "name another with --store"
        )
    return Finding("store", "ok", f"{path} will be made by the first run")


def _file(path: Path) -> Iterator[Finding]:
    try:
        state = path.stat()
    except OSError as error:
        yield Finding("store", "bad", f"{path}: {error.strerror}", "check the path and its rights")
        return
    mode = stat.S_IMODE(state.st_mode)
    if os.name == "posix" and mode & 0o077:
        yield Finding("rights", "note", f"{path} can be used by others ({mode:04o})", f"chmod 600 {path}")
    elif not os.access(path, os.W_OK):
        yield Finding("rights", "bad", f"{path} is read-only", "let this user write to it")
    else:
        yield Finding("rights", "ok", f"{path} is private ({mode:04o})")
    free = shutil.disk_usage(path.absolute().parent).free
    said = f"{free / 2**30:.1f} GB free, the store has {state.st_size / 2**20:.1f} MB"
    yield Finding(
        "space",
        "ok" if free > _NEEDED_SPACE else "bad",
        said,
        "" if free > _NEEDED_SPACE else "free some space",
    )


def _content(path: Path | str) -> Finding:
    """Look into the store without changing it: no migration, no lock that lasts."""
    import asyncio

    from flujo.cli.reading import opened
    from flujo.journal.store import RunQuery

    async def read() -> str:
        async with opened(path) as store:
            page = await store.runs(RunQuery(limit=1))
            paused = await store.runs(RunQuery(status=("paused",), limit=1000))
            held = counted(len(paused.runs), "run") + " waiting" if page.runs else "no run yet"
            return f"{_pragma(path) if isinstance(path, Path) else place_of(path)}; {held}"

    try:
        return Finding("store", "ok", asyncio.run(read()))
    except FlujoError as error:
        return Finding("store", "bad", error.message, error.fix)


def _pragma(path: Path) -> str:
    connection = sqlite3.connect(path)
    try:
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    finally:
        connection.close()
    return f"schema version {schema}, journal mode {mode}"


def _extras() -> Iterator[Finding]:
    """Look for the packages of each extra that the installed Flujo declares."""
    wanted: dict[str, list[str]] = {}
    for line in requires("flujo") or ():
        requirement, _, marker = line.partition(";")
        if "extra ==" in marker:
            extra = marker.partition("extra ==")[2].strip(" '\"")
            name = (
                requirement.split("[")[0]
                .split("<")[0]
                .split(">")[0]
                .split("=")[0]
                .split("!")[0]
                .split("~")[0]
            )
            wanted.setdefault(extra, []).append(name.strip())
    for extra, names in wanted.items():
        missing = [name for name in names if not _installed(name)]
        if missing:
            yield Finding(
                f"extra {extra}",
                "note",
                f"not installed: {', '.join(missing)}",
                f'pip install "flujo[{extra}]"',
            )
        else:
            yield Finding(f"extra {extra}", "ok", "installed")


def _installed(name: str) -> bool:
    return find_spec(_IMPORTS.get(name, name.replace("-", "_"))) is not None or bool(_version(name))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _variables() -> Iterator[Finding]:
    for name, meant in unknown_variables(os.environ).items():
        yield Finding(
            "variables", "note", f"{name} is no setting", f"did you mean {meant}?" if meant else "unset it"
        )


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    out = sys.stdout
    kind = f"{size.columns} x {size.lines}" if out.isatty() else "not a terminal"
    color = "colors" if colored(out) else "no colors"
    letters = "Unicode" if speaks_unicode(out) else f"no Unicode ({out.encoding})"
    return Finding("terminal", "ok", f"{kind}, {color}, {letters}")

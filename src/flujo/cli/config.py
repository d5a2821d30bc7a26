"""The settings of the command: the command line goes before the environment, a file, and the default."""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flujo.agents.providers import configure_provider
from flujo.cli.text import is_utf8
from flujo.errors import ConfigError

FILE, PROJECT = "flujo.toml", "pyproject.toml"
MCP_VARIABLE = "FLUJO_MCP_TOKEN"
"""Where `flujo mcp serve` finds its token: no setting, so that no file holds it and nothing prints it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set.

    Attributes:
        name: Its key in the file; in the environment it is `FLUJO_` and this in capitals.
        default: Its value where nobody says otherwise.
        help: What it is for.
        choices: The words it may be; anything when empty.
    """

    name: str
    default: str | bool
    help: str
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"FLUJO_{self.name.upper()}"


SETTINGS = (
    Setting(
        "store",
        "flujo_ops.db",
        "Where runs are kept: a file, relative to the settings file, or the URL of a PostgreSQL database.",
    ),
    Setting("durability", "sync", "Whether each step waits until it is on the disk.", ("sync", "async")),
    Setting("model", "", "The model that `flujo demo` reads documents with, such as `openai:gpt-4.1`."),
    Setting("model_url", "", "The address of an OpenAI-compatible server that has the model."),
    Setting("actor", "", "Who decides when you answer a request; the operating system's user by default."),
    Setting("trace", False, "Whether errors show their traceback."),
)
_PROVIDER = frozenset({"api_key", "base_url"})
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


@dataclass(frozen=True, slots=True)
class Value:
    """A setting's value and who set it: an option, a variable, a file, or `default`."""

    value: str | bool
    source: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, with its source.

    Attributes:
        values: The settings by name.
        targets: Names for targets, from the file's `targets` table.
        policies: What the file says of policies, by their names.
        file: The settings file; None where there is none.
        folder: What paths in settings are relative to: the file's folder, or the current one.
    """

    values: Mapping[str, Value]
    targets: Mapping[str, str]
    policies: Mapping[str, Mapping[str, Any]]
    file: Path | None
    folder: Path

    def text(self, name: str) -> str:
        """Return a setting that is a text."""
        return str(self.values[name].value)

    @property
    def store(self) -> Path | str:
        """The store: its file, seen from the current folder if typed, else from the project's; or its URL."""
        given = self.text("store")
        if "://" in given:
            return given
        path = Path(given).expanduser()
        return path if self.typed("store") or path.is_absolute() else _near(self.folder / path)

    @property
    def store_name(self) -> str:
        """What the store is called in messages: the file, or the database without its password."""
        return _without_password(str(self.store))

    def typed(self, name: str) -> bool:
        """Say whether a setting was given by the command line or the environment."""
        return self.values[name].source.startswith(("--", "FLUJO_"))

    @property
    def store_words(self) -> list[str]:
        """The option that a next command needs to use the same store."""
        given = self.values["store"]
        return ["--store", _without_password(str(given.value))] if given.source == "--store" else []


def load_config(
    *, folder: Path | None = None, environment: Mapping[str, str] | None = None, **given: str | bool | None
) -> Config:
    """Read the settings.

    Args:
        folder: Where the search for a settings file begins, going upwards; the current one by default.
        environment: The environment's variables; this process's by default.
        given: What the command line says; None where it says nothing.

    Raises:
        ConfigError: A file cannot be read, a key is unknown, or a value is not what it must be.
    """
    start = folder.resolve() if folder else _here()
    env = os.environ if environment is None else environment
    found = find_file(start)
    table = {} if found is None else _checked(read_table(found), found)
    targets = cast("dict[str, str]", table.pop("targets", {}))
    policies = cast("dict[str, dict[str, Any]]", table.pop("policies", {}))
    for name, provider in cast("dict[str, dict[str, str]]", table.pop("providers", {})).items():
        configure_provider(name, **provider)
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        option = given.get(setting.name)
        if option is not None:
            values[setting.name] = _value(setting, option, f"--{setting.name}")
        elif env.get(setting.variable):
            values[setting.name] = _value(setting, env[setting.variable], setting.variable)
        elif setting.name in table:
            values[setting.name] = _value(setting, cast("str | bool", table[setting.name]), str(found))
        else:
            values[setting.name] = Value(setting.default, "default")
    return Config(values, targets, policies, found, start if found is None else found.parent)


def _here() -> Path:
    try:
        folder = Path.cwd()
    except FileNotFoundError:
        raise ConfigError("the current folder was removed", fix="go to a folder that exists") from None
    if not is_utf8(str(folder)):
        raise ConfigError(
            f"the current folder's path is not UTF-8: {os.fsencode(folder)!r}", fix="rename that folder"
        )
    return folder


def find_file(start: Path) -> Path | None:
    """Return the nearest flujo.toml, or pyproject.toml with [tool.flujo], from a folder upwards."""
    for folder in (start, *start.parents):
        file = folder / FILE
        if file.exists() or file.is_symlink():  # one that cannot be read must not count as none
            return file
        project = folder / PROJECT
        if project.is_file() and b"tool.flujo" in project.read_bytes() and _section(project) is not None:
            return project
    return None


def read_table(path: Path) -> dict[str, object]:
    """Return what a settings file says."""
    if path.name == PROJECT:
        return _section(path) or {}
    return _toml(path)


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return variables that look like settings and are none, each with the one that was probably meant."""
    known = {MCP_VARIABLE, *(setting.variable for setting in SETTINGS)}
    odd = sorted(name for name in environment if name.startswith("FLUJO_") and name not in known)
    return {name: next(iter(difflib.get_close_matches(name, known, n=1)), "") for name in odd}


def trace_wanted() -> bool:
    """Say whether errors show their traceback; settings that cannot be read count as no."""
    try:
        return load_config().values["trace"].value is True
    except (ConfigError, OSError):
        return False


def _without_password(store: str) -> str:
    """Return a path as it is, and a URL without the password in it."""
    scheme, mark, rest = store.partition("://")
    if not mark:
        return store
    before, slash, after = rest.partition("/")
    users, at, host = before.rpartition("@")
    return f"{scheme}://{users.partition(':')[0]}{at}{host}{slash}{after}"


def _near(path: Path) -> Path:
    """Return a path as seen from the current folder, where that is shorter."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def _section(project: Path) -> dict[str, object] | None:
    tool = _toml(project).get("tool")
    section = cast("dict[str, object]", tool).get("flujo") if isinstance(tool, dict) else None
    return dict(cast("dict[str, object]", section)) if isinstance(section, dict) else None


def _toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", fix="mend that line of the file") from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", fix="make it a file that you may read"
        ) from error


def _checked(table: dict[str, object], path: Path) -> dict[str, object]:
    """Return a table without a key that nobody knows, and with targets that are texts."""
    known = [*_BY_NAME, "targets", "providers", "policies"]
    for key, value in table.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            fix = f"did you mean {close[0]!r}?" if close else f"the settings are {', '.join(known)}"
            raise ConfigError(f"{path} sets {key!r}, which is no setting", fix=fix)
        if key == "targets" and not _all_texts(value):
            raise ConfigError(
                f"{path}: targets must be a table of texts",
                fix='write it as [targets] and lines like intake = "file.py:object"',
            )
        if key == "providers":
            _check_providers(value, path)
        if key == "policies":
            from flujo.governance.declared import check_tables

            check_tables(value, path)
    return table


def _check_providers(value: object, path: Path) -> None:
    tables = cast("dict[str, object]", value) if isinstance(value, dict) else {"": value}
    for name, provider in tables.items():
        odd = sorted(set(cast("dict[str, object]", provider)) - _PROVIDER) if _all_texts(provider) else [""]
        if odd:
            raise ConfigError(
                f"{path}: providers.{name} " + (f"sets {odd[0]!r}" if odd[0] else "is no table of texts"),
                fix=f'write it as [providers.{name or "openai"}] and lines like api_key = "env:NAME"; '
                f"what can be set is {', '.join(sorted(_PROVIDER))}",
            )


def _all_texts(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(text, str) for text in cast("dict[str, object]", value).values()
    )


def _value(setting: Setting, given: str | bool, source: str) -> Value:
    """Return a value of the setting's kind."""
    if isinstance(given, str) and not is_utf8(given):
        raise ConfigError(
            f"{source}: {setting.name} is not UTF-8: {os.fsencode(given)!r}", fix="write it in UTF-8"
        )
    if isinstance(setting.default, bool):
        value = given if isinstance(given, bool) else _WORDS.get(str(given).strip().lower())
        if value is None:
            raise ConfigError(f"{source}: {setting.name} is {given!r}", fix="use true or false")
        return Value(value, source)
    if not isinstance(given, str):
        raise ConfigError(f"{source}: {setting.name} is {given!r}, not a text", fix="put it in quotes")
    if setting.choices and given not in setting.choices:
        close = difflib.get_close_matches(given, setting.choices, n=1)
        raise ConfigError(
            f"{source}: {setting.name} is {given!r}",
            fix=f"did you mean {close[0]!r}?" if close else f"use {' or '.join(setting.choices)}",
        )
    return Value(given, source)

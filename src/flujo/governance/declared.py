"""Policies that a settings file declares: which they are, what they are called, what they are given.

A file that cannot be read, a name that nobody knows, or an argument that does not fit is an error, and
nothing runs: a policy that is written down and not there would be one that allows.
"""

import difflib
import inspect
import pkgutil
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from flujo.engine.policies import Named, judge_of
from flujo.errors import ConfigError
from flujo.governance.clearance import Clearance
from flujo.governance.rules import AtMost, Hours, NoEgressAfter, Regions, Requires, Tools
from flujo.pipeline.policy import GovernancePolicy, Mode
from flujo.plan.types import type_name

Load = Callable[[str], object]
_PROJECT = "pyproject.toml"
_OURS = frozenset({"id", "name", "folder"})
"""What a policy is given by us rather than by its table."""


def policies_from(path: str | Path) -> list[GovernancePolicy]:
    """Return the policies that a settings file declares, for runners of your own.

    ``Flujo(pipeline, policies=policies_from("flujo.toml"))`` is judged as `flujo run` judges it.

    Args:
        path: ``flujo.toml``, or ``pyproject.toml`` with ``[tool.flujo.policies.NAME]``.

    Returns:
        The policies in the order of the file; none where it declares none.

    Raises:
        ConfigError: The file cannot be read, or a policy cannot be made.
    """
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{file} cannot be read: {error}", fix="name a settings file, or mend it"
        ) from error
    if file.name == _PROJECT:
        table = table.get("tool", {}).get("flujo", {})
    tables = check_tables(table.get("policies", {}), file)
    return [declared_policy(name, one, file, _imported) for name, one in tables.items()]


def check_tables(tables: object, file: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return what a settings file says of policies, by their names.

    Raises:
        ConfigError: It is no table of tables.
    """
    named = cast("dict[str, object]", tables) if isinstance(tables, dict) else {"": tables}
    for name, table in named.items():
        if not isinstance(table, dict):
            raise ConfigError(
                f"{file}: policies{'.' if name else ''}{name} is {table!r}, and no table",
                fix=f'write it as [policies.{name or "NAME"}] and a line like use = "Requires"',
            )
    return cast("dict[str, dict[str, Any]]", named)


def declared_policy(name: str, table: Mapping[str, Any], file: Path, load: Load) -> GovernancePolicy:
    """Return a policy that a settings file declares.

    Args:
        name: The name of its table: the policy's id in the journal.
        table: What it says.
        file: The file; paths in it are seen from its folder.
        load: Imports what ``module:NAME`` names.

    Raises:
        ConfigError: There is no such policy, or it cannot be made of what it is given.
    """
    place, given = f"{file}: policies.{name}", dict(table)
    use, mode = given.pop("use", None), given.pop("mode", None)
    if not isinstance(use, str):
        raise ConfigError(f"{place}: use is {use!r}", fix=f"name {_FORMS}")
    if mode not in (None, "enforce", "observe"):
        raise ConfigError(f"{place}: mode is {mode!r}", fix='use "enforce" or "observe"')
    try:
        if use in _BUILT_IN:
            return _built_in(use, name, mode or "enforce", file.parent, given)
        if ":" not in use:
            close = difflib.get_close_matches(use, _BUILT_IN, n=1)
            raise ConfigError(
                f"use is {use!r}, which is no policy",
                fix=f"did you mean {close[0]!r}?" if close else f"name {_FORMS}",
            )
        policy = Named(_own(load(use), use, given), name, mode)
        judge_of(policy, use)
        return cast("GovernancePolicy", policy)
    except ConfigError as error:
        fix = error.fix if "target is" not in error.fix else f"name {_FORMS}"
        raise ConfigError(f"{place}: {error.message}", fix=fix) from error


def _imported(text: str) -> object:
    try:
        return pkgutil.resolve_name(text)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"use is {text!r}: {error}", fix=f"name {_FORMS}") from error


def _built_in(use: str, name: str, mode: Mode, folder: Path, given: Mapping[str, Any]) -> GovernancePolicy:
    make = _BUILT_IN[use]
    _check_names(make, given, use)
    hints = get_type_hints(make)
    for key, value in given.items():
        try:
            TypeAdapter(hints[key], config=ConfigDict(arbitrary_types_allowed=True)).validate_python(
                value, strict=True
            )
        except ValidationError:
            raise ConfigError(
                f"{key} is {value!r}", fix=f"{use} takes {type_name(hints[key])} there"
            ) from None
    if inspect.isclass(make):
        return make(**given, id=name, mode=mode)
    return make(**given, name=name, mode=mode, folder=folder)


def _own(found: object, use: str, given: Mapping[str, Any]) -> object:
    """Return a policy of somebody's own: an object, or what a class or a function makes of its arguments."""
    if inspect.isclass(found) or inspect.isroutine(found):
        _check_names(found, given, use)
        return found(**given)
    if given:
        raise ConfigError(
            f"{use} is a policy that is made already, and is given {', '.join(given)}",
            fix="name its class, or a function that makes it",
        )
    return found


def _check_names(make: Callable[..., Any], given: Mapping[str, Any], use: str) -> None:
    """Refuse arguments that something does not take, and none for what it needs.

    Raises:
        ConfigError: Such an argument.
    """
    try:
        parameters = inspect.signature(make).parameters.values()
    except ValueError:  # code that does not tell: it will say by itself what it misses
        return
    takes = {one.name: one for one in parameters if one.name not in _OURS or ":" in use}
    takes.pop("mode", None)
    if not any(one.kind is one.VAR_KEYWORD for one in takes.values()):
        for key in given:
            if key not in takes:
                close = difflib.get_close_matches(key, takes, n=1)
                known = f"it takes {', '.join(takes)}" if takes else "it takes nothing"
                raise ConfigError(
                    f"{use} takes no {key!r}", fix=f"did you mean {close[0]!r}?" if close else known
                )
    for name, one in takes.items():
        if (
            one.default is one.empty
            and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
            and name not in given
        ):
            raise ConfigError(f"{use} needs {name!r}", fix=f"add a line {name} = …")


def _cedar(
    *,
    source: str,
    kill_switch: str = "",
    timeout: float = 5.0,
    name: str,
    mode: Mode,
    folder: Path,
) -> GovernancePolicy:
    from flujo.governance.cedar import CedarPolicy

    switch = folder / kill_switch if kill_switch else None
    return CedarPolicy(folder / source, name=name, mode=mode, kill_switch=switch, timeout=timeout)


def _pii(
    *,
    engine: Literal["rules", "presidio"] = "rules",
    strategy: Literal["label", "mask"] = "label",
    known: Mapping[str, Sequence[str]] | None = None,
    keys: bool = True,
    depth: int = 100,
    timeout: float = 60.0,
    name: str,
    mode: Mode,
    folder: Path,
) -> GovernancePolicy:
    from flujo.governance.pii import PIIScrubbingPolicy, PresidioEngine

    finds = PresidioEngine() if engine == "presidio" else None
    policy = PIIScrubbingPolicy(
        finds, strategy=strategy, known=known, keys=keys, depth=depth, timeout=timeout, mode=mode
    )
    return cast("GovernancePolicy", Named(policy, name))


_BUILT_IN: Mapping[str, Callable[..., GovernancePolicy]] = {
    "AtMost": AtMost,
    "CedarPolicy": _cedar,
    "Clearance": Clearance,
    "Hours": Hours,
    "NoEgressAfter": NoEgressAfter,
    "PIIScrubbingPolicy": _pii,
    "Regions": Regions,
    "Requires": Requires,
    "Tools": Tools,
}
_FORMS = f"one of {', '.join(_BUILT_IN)}, or a policy of your own as module:NAME"

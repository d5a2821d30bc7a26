"""The agents that ask models: the roles that there are, and those of a pipeline."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from flujo.cli.config import Config
from flujo.cli.output import DONE, emit, emit_json, note, user_code
from flujo.cli.runs import terminal_width
from flujo.cli.targets import load_target
from flujo.cli.text import brief, table
from flujo.errors import ConfigError

Facts = Mapping[str, Any]


def _roles() -> list[Facts]:
    try:
        from flujo.agents.described import roles
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the roles need the package {error.name}, which is not installed",
            fix="pip install 'flujo[agents,sql]'",
        ) from error
    return list(roles())


def list_agents(target: str | None, config: Config, *, as_json: bool) -> int:
    """Print the roles; or the agents of a target.

    Raises:
        PlanError: The target has problems.
    """
    found = _roles() if target is None else _of(target, config)
    if as_json:
        emit_json({"roles" if target is None else "agents": found})
        return DONE
    if target is None:
        head = ("role", "made by", "prompt", "gives", "what it does")
        keys = ("role", "made_by", "", "gives", "about")
    else:
        head = keys = ("address", "agent", "model", "gives", "tools")
    if not found:
        note(f"no step of {target} asks a model, as far as Flujo knows")
        return DONE
    rows = [[_cell(one, key) for key in keys] for one in found]
    emit(table([column.upper() for column in head], rows, width=terminal_width()))
    return DONE


def _cell(one: Facts, key: str) -> str:
    match key:
        case "":
            return f"version {one['prompt_version']}"
        case "tools":
            found = [tool["name"] for tool in one.get("tools", ())]
            found += [f"{server}_…" for server in one.get("mcp_servers", ())]
            return ", ".join(found) or "none"
        case "agent" if one.get("by_context"):
            return f"{one['agent']} (as begun with)"
        case _:
            return str(one[key])


def show_agent(name: str, address: str | None, config: Config, *, as_json: bool) -> int:
    """Print a role, or the agent of a step: its prompt, what it gives, its settings and tools.

    Raises:
        ConfigError: There is no such role, or no agent at this address.
        PlanError: The target has problems.
    """
    found = _role(name) if address is None else _at(name, address, config)
    if as_json:
        emit_json(found)
        return DONE
    emit("\n".join(_told(found)))
    return DONE


def _of(target: str, config: Config) -> list[Facts]:
    _roles()  # says what is missing
    from flujo.agents.described import agents_of

    with user_code():
        plan = load_target(target, names=config.targets, folder=config.folder).plan()
        return list(agents_of(plan))


def _role(name: str) -> Facts:
    known = {str(one[key]): one for one in _roles() for key in ("role", "made_by")}
    if name in known:
        return known[name]
    if ":" in name:
        raise ConfigError(f"{name!r}: of which step?", fix=f"see them with `flujo agents list {name}`")
    close = difflib.get_close_matches(name, known, n=1)
    fix = f"did you mean {close[0]}?" if close else "see the roles with `flujo agents list`"
    raise ConfigError(f"there is no role {name!r}", fix=fix)


def _at(target: str, address: str, config: Config) -> Facts:
    known = {str(one["address"]): one for one in _of(target, config)}
    if address in known:
        return known[address]
    close = difflib.get_close_matches(address, known, n=1)
    fix = f"did you mean {close[0]}?" if close else f"there are agents at: {', '.join(known) or 'no address'}"
    raise ConfigError(f"{target} has no agent that asks a model at {address!r}", fix=fix)


def _told(one: Facts) -> Iterator[str]:
    """Yield what is known of an agent, line by line."""
    yield f"{one.get('address') or one['role']}: {one.get('agent') or one['made_by']}"
    for key in ("about", "model", "fallbacks", "role", "prompt_version", "gives", "arguments", "settings"):
        if one.get(key) not in (None, "", [], {}):
            yield f"  {key.replace('_', ' ')}: {_value(one[key])}"
    for key in ("retries", "timeout", "max_turns"):
        if one.get(key) is not None:
            yield f"  {key.replace('_', ' ')}: {one[key]}"
    if one.get("mcp_servers"):
        yield f"  tools of the MCP servers: {_value(one['mcp_servers'])}"
    for tool in one.get("tools", ()):
        asks = {False: "", True: " (a person must agree)"}.get(
            tool["needs_approval"], " (a person may be asked)"
        )
        yield f"  tool {tool['name']}{asks}: {brief(tool['description'])}"
    if one.get("prompt"):
        yield "  prompt:"
        yield from (f"    {line}".rstrip() for line in str(one["prompt"]).splitlines())
    if one.get("output_schema"):
        yield "  output schema:"
        yield from (f"    {line}" for line in json.dumps(one["output_schema"], indent=2).splitlines())


def _value(value: Any) -> str:
    match value:
        case list():
            return ", ".join(map(str, cast("list[Any]", value)))
        case dict():
            return ", ".join(f"{key}={one}" for key, one in cast("dict[str, Any]", value).items())
        case _:
            return str(value)

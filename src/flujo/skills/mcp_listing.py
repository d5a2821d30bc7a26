"""The tools that a server lists, as they are kept: what each is, and how to notice that it is another now."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from mcp_types import Tool

from flujo.pipeline.tools import Effects
from flujo.skills.mcp_server import Approve, McpServer

KEY = "flujo/idempotency-key"
"""What ``_meta`` calls the key that makes calls one; a tool that has it true is done once for each key."""

LONGEST_DESCRIPTION, LARGEST_SCHEMA, MOST_TOOLS = 8_000, 100_000, 500
_LONGEST_NAME = 64
_ODD = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Listed:
    """One tool, as a server lists it.

    Attributes:
        name: Its name for agents, which begins with the server's.
        called: Its name for the server.
        description: What the server says that it does.
        parameters: The JSON Schema of its arguments.
        reads: Whether it changes nothing, by its annotations; likewise the next three.
        destroys: Whether it may destroy something.
        repeats: Whether calling it again with the same arguments changes nothing more.
        is_open: Whether it reaches the world outside.
        digest: SHA-256, in hex, over all that the server says of it.
    """

    name: str
    called: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict[str, Any])
    reads: bool = False
    destroys: bool = True
    repeats: bool = False
    is_open: bool = True
    digest: str = ""

    def effects(self, *, believed: bool) -> Effects:
        """Say what becomes of a call whose end is unknown."""
        return "idempotent" if believed and (self.reads or self.repeats) else "at_most_once"

    def needs_approval(self, approve: Approve, *, believed: bool) -> bool:
        """Say whether a person must agree to a call."""
        match approve:
            case "none" | "all":
                return approve == "all"
            case "writes":
                return not (believed and self.reads)
            case "destructive":
                return not (believed and (self.reads or not self.destroys))

    def labels(self, server: McpServer) -> frozenset[str]:
        """Return what policies know of it."""
        told = {"mcp", f"mcp:{server.name}", *server.labels}
        told |= {"open_world"} if self.is_open or not server.believe else set()
        told |= {"destructive"} if self.needs_approval("destructive", believed=server.believe) else set()
        return frozenset(told)


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a server listed.

    Attributes:
        server: The server's name.
        tools: Its tools, by name.
        refused: The tools that cannot be used, and why.
    """

    server: str
    tools: tuple[Listed, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, called: str) -> Listed | None:
        """Return the tool that the server calls so."""
        return next((one for one in self.tools if one.called == called), None)


def listing_of(server: McpServer, tools: Sequence[Tool]) -> Listing:
    """Return what a server listed.

    Tools whose names are one in the letters that names of tools may have are told apart by a digest of what
    the server calls them; the one that is called just so keeps its name.
    """
    times = Counter(tool.name for tool in tools)
    names = Counter(_name(_whole(server, name)) for name in times)
    found: dict[str, Listed] = {}
    refused: dict[str, str] = {}
    for tool in tools:
        whole = _whole(server, tool.name)
        name = _name(whole)
        name = name if names[name] == 1 or name == whole else _marked(name, whole)
        wrong = _wrong(tool)
        if times[tool.name] > 1 or name in found:
            wrong = "the server lists two that are called so"
        if wrong:
            refused[tool.name[:100]] = wrong
        else:
            found[name] = _listed(server, tool, name)
    return Listing(server.name, tuple(found.values()), refused)


def _wrong(tool: Tool) -> str:
    if not tool.name or not tool.name.isprintable():
        return "its name cannot be shown"
    if tool.input_schema.get("type") != "object":
        return "its input schema describes no object"
    if len(json.dumps(tool.input_schema)) > LARGEST_SCHEMA:
        return f"its input schema has more than {LARGEST_SCHEMA} characters"
    if len(tool.description or "") > LONGEST_DESCRIPTION:
        return f"its description has more than {LONGEST_DESCRIPTION} characters"
    return ""


def _listed(server: McpServer, tool: Tool, name: str) -> Listed:
    hints = tool.annotations
    meta = tool.meta or {}
    whole = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Listed(
        name=name,
        called=tool.name,
        description=_visible(tool.description or tool.title or ""),
        parameters=tool.input_schema,
        reads=hints is not None and hints.read_only_hint is True,
        destroys=hints is None or hints.destructive_hint is not False,
        repeats=(hints is not None and hints.idempotent_hint is True) or meta.get(KEY) is True,
        is_open=hints is None or hints.open_world_hint is not False,
        digest=sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest(),
    )


def _name(name: str) -> str:
    """Return a name in the letters and of the length that names of tools may have."""
    plain = _ODD.sub("_", name)
    return plain if len(plain) <= _LONGEST_NAME else _marked(plain, name)


def _marked(plain: str, name: str) -> str:
    """Return a name with what tells it from others that are alike."""
    return f"{plain[: _LONGEST_NAME - 9]}_{sha256(name.encode()).hexdigest()[:8]}"


def _whole(server: McpServer, called: str) -> str:
    return f"{server.name}_{called}"


def _visible(text: str) -> str:
    """Return a text without characters that nobody sees: they hide words from people that models read."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Co", "Cn"))

"""An MCP server as it is declared: how it is reached, and what is believed of it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final
from urllib.parse import urlsplit

from flujo.errors import ConfigError, PipelineError
from flujo.pipeline.checks import Kind, is_amount, is_count

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTHORIZATION|COOKIE", re.IGNORECASE)

Approve = Literal["destructive", "writes", "all", "none"]
_APPROVE: tuple[Approve, ...] = ("destructive", "writes", "all", "none")


@final
@dataclass(frozen=True, slots=True)
class McpServer(metaclass=Kind):
    """An MCP server whose tools agents may call: plain data, written and read as JSON.

    Secrets stand in it by reference: ``${NAME}`` in a value of the environment or the headers is read from
    this process's environment when the server is connected to.

    Args:
        command: The program of a server that is started here, with its arguments; or where it is, as a URL.
        name: What the names of its tools begin with; by default the program's, or the host's.
        environment: Variables that a program is given, beside the few that every program needs.
        headers: What is sent with each request over HTTP.
        folder: The program's working directory; this process's when left out.
        approve: For which calls a person must agree: those that may destroy something (as the server's
            annotations tell), all that may change something, all, or none.
        believe: Whether the annotations are believed. They are the server's own words: of one that is not,
            every tool may destroy something, and no call is repeated.
        labels: What its tools are or touch, for policies.
        timeout: The time limit of a call, in seconds.
        patience: How long connecting may take, and listing the tools, in seconds.
        largest: How many characters of a result are given to an agent.

    Raises:
        PipelineError: A setting cannot work, or a secret stands in it as it is.
    """

    command: str
    name: str = ""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    folder: str = ""
    approve: Approve = "destructive"
    believe: bool = True
    labels: tuple[str, ...] = ()
    timeout: float = 60.0
    patience: float = 30.0
    largest: int = 100_000

    def __post_init__(self) -> None:
        place = f"McpServer({self.command!r})"
        if not self.command.strip():
            raise PipelineError("McpServer(''): no server", fix="pass a command, or a URL")
        object.__setattr__(self, "name", self.name or _name_of(self.command))
        if not _NAME.fullmatch(self.name):
            raise PipelineError(
                f"{place}, name={self.name!r}", fix="use 1 to 32 letters, digits, '_' and '-'"
            )
        if self.approve not in _APPROVE:
            raise PipelineError(f"{place}, approve={self.approve!r}", fix=f"use {', '.join(_APPROVE)}")
        for what, values in (("environment", self.environment), ("headers", self.headers)):
            _check_values(f"{place}, {what}", values)
            object.__setattr__(self, what, dict(values))
        if self.is_remote and self.environment:
            raise PipelineError(f"{place}, environment=…: nothing is started", fix="leave it out")
        if not self.is_remote and self.headers:
            raise PipelineError(f"{place}, headers=…: it is a program", fix="leave them out")
        for setting, seconds in (("timeout", self.timeout), ("patience", self.patience)):
            if not is_amount(seconds) or not seconds:
                raise PipelineError(f"{place}, {setting}={seconds!r}", fix="use a number of seconds")
        if not is_count(self.largest):
            raise PipelineError(f"{place}, largest={self.largest!r}", fix="use a number of characters")
        object.__setattr__(self, "labels", tuple(self.labels))

    @property
    def is_remote(self) -> bool:
        """Whether it is reached over HTTP."""
        return self.command.startswith(("http://", "https://"))

    def words(self) -> list[str]:
        """Return the program and its arguments."""
        return shlex.split(self.command)


def _name_of(command: str) -> str:
    """Return a name from a URL's host, or from the last word of a command that looks like one."""
    if command.startswith(("http://", "https://")):
        found = urlsplit(command).hostname or "server"
    else:
        words = [word for word in shlex.split(command) if not word.startswith("-")]
        found = os.path.basename(words[-1]).partition(".")[0] if words else "server"
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", found).strip("_")[:32]
    return name if name[:1].isalpha() else f"mcp_{name}"[:32]


def _check_values(place: str, values: Mapping[str, str]) -> None:
    for name, value in values.items():
        if _SECRET.search(name) and not _REFERENCE.search(value):
            raise PipelineError(
                f"{place}: {name} stands there as it is",
                fix=f'name a variable that holds it: {{"{name}": "${{{_variable(name)}}}"}}',
            )


def _variable(name: str) -> str:
    return re.sub(r"\W", "_", name).upper()


def resolved(values: Mapping[str, str], place: str) -> dict[str, str]:
    """Return values with what they refer to in this process's environment.

    Raises:
        ConfigError: A variable is not set.
    """

    def read(found: re.Match[str]) -> str:
        value = os.environ.get(found[1])
        if value is None:
            raise ConfigError(
                f"{place} needs the variable {found[1]}, which is not set", fix=f"set {found[1]}"
            )
        return value

    return {name: _REFERENCE.sub(read, value) for name, value in values.items()}

"""Providers of models: where their keys come from, and their addresses."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flujo.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider is reached.

    Args:
        api_key: The key, or where it is: ``env:NAME`` or ``file:PATH``. The provider's own variable of the
            environment counts when left out.
        base_url: The address, where it is not the provider's own.
    """

    api_key: str = field(default="", repr=False)
    base_url: str = ""


_providers: dict[str, Provider] = {}

keys: set[str] = set()
"""The keys that were read, which no error may repeat."""


def configure_provider(name: str, *, api_key: str = "", base_url: str = "") -> None:
    """Say how a provider is reached, for every agent of this process whose model is named ``name:…``.

    Args:
        name: The provider's name.
        api_key: See :class:`Provider`; it is read when a model is first used.
        base_url: Likewise.
    """
    _providers[name] = Provider(api_key, base_url)


def arguments_for(name: str) -> dict[str, Any]:
    """Return what a provider's client is made with; empty where nothing was configured.

    Raises:
        ConfigError: Its key is not where it is said to be.
    """
    known = _providers.get(name)
    if known is None:
        return {}
    given = {"api_key": _secret(known.api_key, name), "base_url": known.base_url}
    keys.update(filter(None, (given["api_key"],)))
    return {key: value for key, value in given.items() if value}


def _secret(reference: str, provider: str) -> str:
    kind, _, place = reference.partition(":")
    match kind:
        case "env":
            found = os.environ.get(place, "")
        case "file":
            path = Path(place).expanduser()
            found = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        case _:
            return reference
    if not found:
        raise ConfigError(
            f"the key of the provider {provider!r} is not at {kind}:{place}",
            fix=f"set the variable {place}" if kind == "env" else f"write the key into {place}",
        )
    return found

"""Skills: tools that agents find elsewhere. So far those of MCP servers.

The names are loaded when they are first used: they need what ``pip install "flujo[mcp]"`` brings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError

if TYPE_CHECKING:
    from flujo.skills.mcp import mcp_tools
    from flujo.skills.mcp_agent import close_servers, with_mcp
    from flujo.skills.mcp_errors import ToolChanged, ToolUnavailable
    from flujo.skills.mcp_server import McpServer

__all__ = [
    "McpServer",
    "ToolChanged",
    "ToolUnavailable",
    "close_servers",
    "mcp_tools",
    "with_mcp",
]

_MODULES = {
    "McpServer": "mcp_server",
    "ToolChanged": "mcp_errors",
    "ToolUnavailable": "mcp_errors",
    "close_servers": "mcp_agent",
    "mcp_tools": "mcp",
    "with_mcp": "mcp_agent",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return vars(import_module(f"{__name__}.{_MODULES[name]}"))[name]
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "flujo":
            raise
        raise ConfigError(
            f"flujo.skills.{name} needs the package {error.name}, which is not installed",
            fix="pip install 'flujo[mcp]'",
        ) from error

"""The server: pipelines for whoever speaks a protocol. So far that is MCP, the Model Context Protocol.

The names are loaded when they are first used: they need what ``pip install "flujo[mcp]"`` brings.
"""

from typing import TYPE_CHECKING, Any

from flujo.errors import ConfigError

if TYPE_CHECKING:
    from flujo.server.mcp import Offered, serve_http, serve_stdio

__all__ = ["Offered", "serve_http", "serve_stdio"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.server' has no attribute {name!r}")
    try:
        from flujo.server import mcp
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "flujo":
            raise
        raise ConfigError(
            f"flujo.server.{name} needs the package {error.name}, which is not installed",
            fix="pip install 'flujo[mcp]'",
        ) from error
    return vars(mcp)[name]

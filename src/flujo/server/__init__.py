"""The server: pipelines for whoever speaks a protocol. So far that is MCP, the Model Context Protocol.

The names are loaded when they are first used: they need what ``pip install "flujo[mcp]"`` brings.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flujo.server.mcp import Offered, serve_http, serve_stdio

__all__ = ["Offered", "serve_http", "serve_stdio"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'flujo.server' has no attribute {name!r}")
    from flujo.server import mcp

    return vars(mcp)[name]

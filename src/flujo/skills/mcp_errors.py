"""What keeps a tool of a server from being called."""

from flujo.errors import RunError


class ToolUnavailable(RunError):
    """The server of a tool cannot be reached: nothing was done."""

    code = "tool_unavailable"


class ToolChanged(RunError):
    """A tool is no longer what it was when it was listed."""

    code = "tool_changed"

"""What keeps a tool of a server from being called, or leaves open whether it was."""

from flujo.errors import RunError


class ToolUnavailable(RunError):
    """The server of a tool cannot be reached: nothing was done."""

    code = "tool_unavailable"


class ToolInDoubt(RunError):
    """A tool was called, and whether it took effect is not known."""

    code = "tool_in_doubt"


class ToolChanged(RunError):
    """A tool is no longer what it was when it was listed."""

    code = "tool_changed"

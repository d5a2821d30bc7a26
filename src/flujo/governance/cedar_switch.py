"""The kill switch: policies that hold for every run at once, and can only tighten."""

from __future__ import annotations

from pathlib import Path

from flujo.governance.cedar_bundle import Bundle

_ALLOW = "permit (principal, action, resource);"


class KillSwitch:
    """A file of policies that is read anew whenever it changes.

    Args:
        path: The file; while there is none, it forbids nothing. A link to nowhere cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._bundle: Bundle | None = None

    def bundle(self) -> Bundle | None:
        """Return what it says now: beside what it forbids it permits all; None while there is no file.

        Raises:
            ConfigError: It is no Cedar.
            OSError: It cannot be read.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            if self.path.is_symlink():  # somebody put it there, and what it says cannot be read
                raise
            self._seen = self._bundle = None
            return None
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        if self._bundle is None or seen != self._seen:
            self._bundle = None
            text = self.path.read_text(encoding="utf-8")
            self._bundle, self._seen = (
                Bundle({self.path.name: text, f"~beside {self.path.name}": _ALLOW}),
                seen,
            )
        return self._bundle

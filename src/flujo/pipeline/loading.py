"""Loading: the user's code is imported, or makes something, and may raise whatever it likes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from flujo.errors import FlujoError


@contextmanager
def loading(broken: Callable[[Exception | SystemExit], Exception]) -> Generator[None]:
    """Let code of the user's run; what it raises becomes an error of ours.

    Args:
        broken: Makes that error. An error of ours stays as it is.
    """
    try:
        yield
    except FlujoError:
        raise
    except (Exception, SystemExit) as error:
        raise broken(error) from error

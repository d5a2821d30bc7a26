"""The packages of the extra `pii`, loaded when an engine first needs them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from flujo.errors import ConfigError

if TYPE_CHECKING:
    from types import ModuleType


def phone_plans() -> "ModuleType":
    """Return the package `phonenumbers`: the numbering plans of all countries."""
    try:
        import phonenumbers
    except ImportError as error:
        raise missing("phonenumbers") from error
    return phonenumbers


def missing(package: str, extra: str = "pii") -> ConfigError:
    """Return the error that names the extra to install."""
    return ConfigError(
        f"finding personal data needs the package {package}, which is not installed",
        fix=f"install flujo[{extra}]",
    )


def checks() -> Mapping[str, Callable[[str], bool]]:
    """Return the checks of national numbers by country and kind, from the package `python-stdnum`."""
    try:
        from flujo.governance.pii.stdnums import CHECKS
    except ImportError as error:
        raise missing("python-stdnum") from error
    return CHECKS

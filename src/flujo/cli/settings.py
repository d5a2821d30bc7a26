"""The settings, each with its source, as the command shows them."""

import os
import re

from flujo.cli.config import SETTINGS, Config, unknown_variables
from flujo.cli.output import DONE, emit, emit_json, note
from flujo.cli.text import table

_SECRET = re.compile(r"(?<=://)[^/@]+(?=@)")


def show_settings(config: Config, *, as_json: bool) -> int:
    """Print each setting with its value and where it comes from."""
    shown = {name: (_masked(value.value), value.source) for name, value in config.values.items()}
    if as_json:
        settings = {name: {"value": value, "source": source} for name, (value, source) in shown.items()}
        told = {"settings": settings, "targets": dict(config.targets), "policies": list(config.policies)}
        emit_json({"file": config.file, **told})
    else:
        rows = [(s.name, str(shown[s.name][0]), shown[s.name][1], s.help) for s in SETTINGS]
        rows += [(f"targets.{name}", target, str(config.file), "") for name, target in config.targets.items()]
        rows += [
            (f"policies.{name}", str(one.get("use", "")), str(config.file), "")
            for name, one in config.policies.items()
        ]
        emit(table(("SETTING", "VALUE", "SOURCE", "WHAT FOR"), rows))
    for name, meant in unknown_variables(os.environ).items():
        note(f"warning: {name} is no setting" + (f"; did you mean {meant}?" if meant else ""))
    return DONE


def _masked(value: str | bool) -> str | bool:
    """Return a value without the password that an address may hold."""
    return _SECRET.sub("***", value) if isinstance(value, str) else value

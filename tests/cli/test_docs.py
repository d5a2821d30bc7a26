"""The pages of the documentation name every command, option and setting."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from flujo.cli.app import app
from flujo.cli.config import SETTINGS

ROOT = Path(__file__).parents[2]
CLI = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def commands(command: Any, name: str = "flujo") -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{name} {word}")


COMMANDS = dict(commands(get_command(app)))


def test_the_page_of_the_commands_is_current() -> None:
    command = [sys.executable, ROOT / "docs" / "cli.py", "--check"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_option_is_told(name: str) -> None:
    command = COMMANDS[name]
    assert f"`{name}`" in CLI or name == "flujo"
    with typer.Context(command, info_name=name) as context:
        for parameter in command.get_params(context):
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in CLI or option in ("-h", "--help"), f"{name} {option}"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_option_has_a_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        assert parameter.help, f"{name} {parameter.name}"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_each_setting_is_told(setting: Any) -> None:
    row = next(line for line in CONFIGURATION.splitlines() if line.startswith(f"| `{setting.name}` |"))
    assert f"`{setting.variable}`" in row

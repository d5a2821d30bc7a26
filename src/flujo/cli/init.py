"""Starting a project: a folder with a pipeline that runs, its settings and its tests."""

import re
import shlex
from importlib.resources import files
from pathlib import Path

from flujo.cli.output import DONE, emit, emit_json
from flujo.errors import ConfigError

_FILES = {
    "pyproject.txt": "pyproject.toml",
    "flujo.txt": "flujo.toml",
    "pipeline.py": "pipeline.py",
    "test_pipeline.txt": "tests/test_pipeline.py",
    "readme.txt": "README.md",
    "gitignore.txt": ".gitignore",
}


def start_project(folder: Path, *, force: bool, as_json: bool) -> int:
    """Write a new project and say what to do with it.

    Raises:
        ConfigError: The folder holds something already, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", fix="name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise ConfigError(
            f"{folder} is not empty",
            fix="name a new folder, or pass --force to write over files of the same names",
        )
    written = [_write(folder, source, target) for source, target in _FILES.items()]
    if as_json:
        emit_json({"folder": folder.resolve(), "files": written})
        return DONE
    emit("\n".join(f"wrote {folder / name}" for name in written))
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    emit(f'next:  {enter}flujo run helpdesk --input "the printer is out of paper"')
    return DONE


def _write(folder: Path, source: str, target: str) -> str:
    text = files("flujo.cli").joinpath("template", source).read_text(encoding="utf-8")
    path = folder / target
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{name}", _name(folder)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", fix="name a folder that you may write to"
        ) from error
    return target


def _name(folder: Path) -> str:
    """Return a folder's name as a project may be called."""
    return re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-") or "project"

"""The files of one job and the run of each, kept beside the results so that the job can be finished later."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

from pydantic import ValidationError

from flujo.errors import ConfigError

from .facts import Frozen
from .posting import write_whole

SAMPLES = Path(__file__).parent / "samples"
LIMIT = Decimal(10_000)
JOB = "job.json"


class Item(Frozen):
    """One file of a job.

    Attributes:
        path: where it is, in full.
        run_id: the run that takes it.
    """

    path: str
    run_id: str

    @property
    def name(self) -> str:
        """The name of the file."""
        return Path(self.path).name


class Job(Frozen):
    """What is to be done: the files in the order given, and how.

    Attributes:
        items: the files.
        limit: the amount up to which the proof alone is enough.
        model: the model that reads them; empty for the rules.
        model_url: the address of its server; empty for the provider's own.
    """

    items: tuple[Item, ...]
    limit: Decimal = LIMIT
    model: str = ""
    model_url: str = ""


def job_of(paths: Sequence[Path], folder: Path, *, limit: str | None, model: str, model_url: str) -> Job:
    """Return the job of some files and folders; of the samples when there are none.

    Args:
        paths: The files and folders.
        folder: Where the results go.
        limit: The amount up to which the proof alone is enough; None for the usual one.
        model: The model that reads; empty for the rules.
        model_url: The address of its server; empty for the provider's own.

    Raises:
        ConfigError: A folder holds no PDF, or the limit is no amount.
    """
    items = tuple(Item(path=str(path), run_id=run_id(path, folder)) for path in _files(paths or [SAMPLES]))
    return Job(items=items, limit=_limit(limit), model=model, model_url=model_url)


def run_id(path: Path, folder: Path) -> str:
    """Return the name of a file's run: the same file with the same content, taken in to the same folder.

    A copy under another name is a run of its own, which finds that the invoice was posted before.
    """
    try:
        content = path.read_bytes()
    except OSError:  # the run itself will say what is wrong with it
        content = b""
    digest = hashlib.sha256(f"{folder}\n{path}\n".encode() + content).hexdigest()
    readable = re.sub(r"[^a-z0-9]+", "-", path.stem.lower())[:40].strip("-")
    return f"{readable or 'file'}-{digest[:10]}"


def save_job(job: Job, folder: Path) -> None:
    """Keep the job, so that `--resume` knows what was asked."""
    write_whole(folder / JOB, job.model_dump_json(indent=2) + "\n")


def saved_job(folder: Path) -> Job:
    """Return the job that was begun in a folder.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    try:
        return Job.model_validate_json((folder / JOB).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is nothing to resume in {folder}",
            fix="begin with `flujo demo`, or name its folder: --out DIR",
        ) from None
    except (ValidationError, OSError) as error:
        raise ConfigError(
            f"{folder / JOB} cannot be read: {error}", fix="name the files again, without --resume"
        ) from None


def _files(paths: Iterable[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(one.resolve() for one in path.iterdir() if one.suffix.lower() == ".pdf")
            if not inside:
                raise ConfigError(
                    f"there is no PDF in {path}", fix="name PDF files, or folders that hold them"
                )
            found |= dict.fromkeys(inside)
        else:
            found[path.resolve()] = None
    return list(found)


def _limit(text: str | None) -> Decimal:
    try:
        limit = LIMIT if text is None else Decimal(text)
    except InvalidOperation:
        limit = Decimal("NaN")
    if not limit.is_finite() or limit < 0:
        raise ConfigError(f"the limit {text!r} is no amount", fix="write it like 2500 or 2500.00")
    return limit

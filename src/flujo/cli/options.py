"""The options that several commands share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str,
    typer.Argument(
        metavar="TARGET",
        help="What to load: `file.py:object`, `module:object`, or a name from `[targets]` in flujo.toml.",
        show_default=False,
    ),
]
InputWord = Annotated[
    str | None,
    typer.Argument(
        metavar="INPUT",
        help="The input, as --input takes it; the name of a file that exists reads the file.",
        show_default=False,
    ),
]
InputText = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        metavar="TEXT",
        help="The input: JSON of the pipeline's input type, else text; `-` reads stdin, `@PATH` a file.",
        show_default=False,
    ),
]
InputFile = Annotated[
    Path | None,
    typer.Option("--input-file", metavar="PATH", help="A file with the input.", show_default=False),
]
InputLabels = Annotated[
    list[str] | None,
    typer.Option(
        "--input-label",
        metavar="LABEL",
        help="What the input and the context are known to hold, once or more: phi, pii.name, untrusted.",
        show_default=False,
    ),
]
Store = Annotated[
    str | None,
    typer.Option("--store", metavar="PATH|URL", help="The store.  [setting: store]", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; errors, too, on stdout.")]
Stream = Annotated[
    bool, typer.Option("--stream", help="With --json: one JSON line an event, the result last.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only, no progress.")]
Trace = Annotated[
    bool,
    typer.Option("--trace", help="Show the traceback of an error.  [setting: trace]", show_default=False),
]
RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's id, a unique beginning of it, or `last`.", show_default=False
    ),
]
RequestId = Annotated[
    str,
    typer.Argument(
        metavar="REQUEST",
        help="A request's id, a unique beginning of it, or its run while it waits for one thing only.",
        show_default=False,
    ),
]
Priority = Annotated[
    int,
    typer.Option(
        "--priority",
        metavar="N",
        min=-1_000_000,  # the queues of both stores hold it
        max=1_000_000,
        help="What a worker takes first: a higher one goes before a lower one.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept in the journal.")]
Actor = Annotated[
    str | None,
    typer.Option("--actor", metavar="NAME", help="Who decides.  [setting: actor]", show_default=False),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run at once.")]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Although its process may still run: when you know that it is gone."),
]
OtherTarget = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="TARGET",
        help="The pipeline of the run, where it is no longer what the run was begun with.",
        show_default=False,
    ),
]

"""A pipeline that is served to another: its first step leaves a mark, its second waits until it may go on."""

import asyncio
from pathlib import Path

from flujo import step


@step
async def begin(folder: str) -> str:
    def mark() -> None:
        with (Path(folder) / "begun").open("a") as marks:
            marks.write(".")

    await asyncio.to_thread(mark)
    return folder


@step
async def wait(folder: str) -> str:
    """Wait for a sign, the first time for ever."""
    (Path(folder) / "waiting").touch()
    while not (Path(folder) / "go").exists():
        await asyncio.sleep(0.02)
    return "arrived"


journey = (begin >> wait).named("journey")

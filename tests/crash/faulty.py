"""A small pipeline whose steps leave a line in a file, for processes that are disturbed from outside."""

import os

from flujo import Map, StepInfo, step

DEEDS = "TEST_DEEDS"


@step
async def add(number: int, info: StepInfo) -> int:
    did(info)
    return number + 1


@step
async def total(numbers: list[int], info: StepInfo) -> int:
    did(info)
    return sum(numbers)


def two(number: int) -> list[int]:
    return [number, number + 1]


def did(info: StepInfo) -> None:
    with open(os.environ[DEEDS], "a", encoding="utf-8") as deeds:
        deeds.write(f"{info.address}\n")


pipeline = (add >> Map(add.named("each"), over=two) >> total >> add.named("last")).named("counting")
INPUT, OUTPUT = 1, 8

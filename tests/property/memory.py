"""The context of the random pipelines: one field for each way in which parallel writes become one value."""

from typing import Annotated

from pydantic import Field

from flujo import Add, Append, Max, Merge, PipelineContext


class Memory(PipelineContext):
    log: Annotated[list[str], Append()] = Field(default_factory=list)
    total: Annotated[int, Add()] = 0
    peak: Annotated[int, Max()] = 0
    seen: Annotated[dict[str, int], Merge()] = Field(default_factory=dict)
    mark: int = 0

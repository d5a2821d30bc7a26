"""What users write: steps, control flow, human input, references, context. Pure data, no I/O."""

from flujo.pipeline.reducers import Reducer

__all__ = ["Reducer"]

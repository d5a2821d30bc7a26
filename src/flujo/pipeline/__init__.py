"""What users write: steps, control flow, human input, references, context. Pure data, no I/O."""

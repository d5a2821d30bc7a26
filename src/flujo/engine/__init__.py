"""Running: the runner, the gate that every effect passes, pauses, hooks, results."""

"""What is found of personal data, by Flujo and beside it. Start with `python -m benchmarks.pii`."""

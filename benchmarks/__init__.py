"""What a step costs: Flujo beside other libraries and plain asyncio. Start with `python -m benchmarks`."""

"""One module per system; each has a coroutine function per workload of `benchmarks.workloads`."""

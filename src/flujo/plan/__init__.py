"""Checking a pipeline: addresses, wiring, types, bounds, fingerprint."""

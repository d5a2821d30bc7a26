"""The journal: events, the chain of hashes that binds them, and the stores that keep them."""

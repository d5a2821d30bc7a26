"""What is to be ended when all tests have run: a worker among several is not given time for it later."""

from contextlib import ExitStack

endings = ExitStack()
"""Takes what ends a thing that was begun once for all tests of a process."""

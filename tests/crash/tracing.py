"""Whether `strace` can look at processes here, and disturb them."""

import shutil
import subprocess
import sys
from functools import cache


@cache
def why_not() -> str:
    """Return why no process can be disturbed here; empty if it can."""
    strace = shutil.which("strace")
    if strace is None:
        return "strace is not installed"
    probe = [strace, "-qq", "-f", "-e", "inject=fsync:error=EIO:when=1", sys.executable, "-c", PROBE]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"strace cannot disturb a process here: {done.stderr[-200:]}"


PROBE = """
import os, sys
try:
    os.fsync(os.open(sys.executable, os.O_RDONLY))
except OSError:
    sys.exit(0)
sys.exit("nothing was injected")
"""

"""Tests of agents need no network beyond this machine: a guard stops what would, and they pass without."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError

from tests.wire.conftest import NetworkError
from tests.wire.protocols import Spoken

ROOT = Path(__file__).parents[2]
APART = ["unshare", "--map-root-user", "--net", "sh", "-c"]
PROBE = "import socket; socket.create_connection(('192.0.2.1', 80), 2)"


def test_nothing_is_looked_up_or_reached_beyond_this_machine() -> None:
    with pytest.raises(NetworkError, match=r"models\.test"):
        socket.getaddrinfo("models.test", 443)
    with socket.socket() as reaching, pytest.raises(NetworkError, match=r"192\.0\.2\.1"):
        reaching.connect(("192.0.2.1", 443))


async def test_a_client_without_a_transport_of_ours_reaches_nobody(spoken: Spoken) -> None:
    async with httpx2.AsyncClient() as http:
        with pytest.raises((NetworkError, ModelAPIError)) as caught:
            await Agent(spoken.model(http)).run("x", model_settings={"max_retries": 0})
    assert isinstance(caught.value, NetworkError) or "Connection error" in str(caught.value)


@pytest.mark.e2e
def test_they_pass_where_there_is_no_network_at_all() -> None:
    if shutil.which("unshare") is None or subprocess.run([*APART, "true"], check=False).returncode != 0:
        pytest.skip("this machine makes no network apart")
    asking = "tests/agents/test_providers.py tests/agents/test_turns.py tests/testing/test_model.py"
    tests = f"tests/wire {asking} --ignore {Path(__file__).relative_to(ROOT)}"
    chosen = f"{sys.executable} -m pytest -q -p no:cacheprovider -k 'text or tools' {tests}"
    command = f'ip link set lo up; ! {sys.executable} -c "{PROBE}" 2>/dev/null && {chosen}'
    done = subprocess.run([*APART, command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert " passed" in done.stdout

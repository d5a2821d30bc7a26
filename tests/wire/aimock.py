"""A protocol-true server of models on this machine: aimock, run by Node, installed by the tests."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import httpx2
from pydantic_ai.models import Model

from flujo.testing import UseTool
from tests.wire.protocols import CACHED, READ, WRITTEN, Part, Spoken
from tests.wire.server import Cut, Fails, Garbled

HERE = Path(__file__).parent
CACHE = HERE / ".node"
PROGRAM = Path("node_modules/@copilotkit/aimock/dist/cli.js")
SECONDS = 120


class CannotServeError(Exception):
    """The server cannot be had on this machine, and why."""


@dataclass(frozen=True)
class Slow:
    """An answer that comes too late."""

    milliseconds: int


@dataclass(frozen=True)
class HangsUp:
    """A connection that is closed in the place of an answer."""


def installed() -> Path:
    """Return the server's program, installed once for each lock file.

    Raises:
        CannotServeError: There is no Node, or the package cannot be fetched.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise CannotServeError("there is no Node on this machine")
    lock = HERE / "package-lock.json"
    folder = CACHE / sha256(lock.read_bytes()).hexdigest()[:16]
    if not (folder / PROGRAM).exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as aside:
            made = Path(aside, "made")
            made.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, made)
            _install(made)
            with suppress(OSError):  # another process of the tests was first
                made.rename(folder)
    return folder / PROGRAM


def _install(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise CannotServeError(f"npm did not install aimock within {SECONDS} s") from late
    if done.returncode != 0 or not (folder / PROGRAM).exists():
        raise CannotServeError(f"npm cannot install aimock: {(done.stderr or done.stdout).strip()[-300:]}")


@contextmanager
def serving() -> Generator[str]:
    """Run the server on a free port of the loopback; give its address."""
    program = installed()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "none.json").write_text('{"fixtures": []}')
        command = ["node", str(program), "-p", "0", "-h", "127.0.0.1", "-f", "none.json"]
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                yield _address(server)
            finally:
                server.terminate()


def _address(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if "listening on " in line:
            return line.rpartition("listening on ")[2].strip()
    raise CannotServeError("aimock ended before it listened")


class Served:
    """What one test has the server answer, apart from what other tests do.

    Args:
        url: The server's address.
        test: The test's own name: its requests carry it.
    """

    def __init__(self, url: str, test: str) -> None:
        self.url = url
        self.test = test
        self._clients: list[httpx2.AsyncClient] = []

    def answers(self, *answers: Any) -> None:
        """Have the requests of this test answered with these, in order."""
        fixtures = [
            {"match": {"context": self.test, "sequenceIndex": number}, **_fixture(answer)}
            for number, answer in enumerate(answers)
        ]
        self._control("POST", "fixtures", {"fixtures": fixtures})

    def model(self, spoken: Spoken) -> Model:
        """Return a model whose client speaks to the server."""
        http = httpx2.AsyncClient(headers={"X-Test-Id": self.test, "X-AIMock-Context": self.test})
        self._clients.append(http)
        return spoken.model(http, f"{self.url}/v1")

    async def close(self) -> None:
        """Close the connections of its clients."""
        for client in self._clients:
            await client.aclose()

    @property
    def statuses(self) -> list[int]:
        """What each request of this test was answered with."""
        entries = self._control("GET", f"journal?testId={self.test}")
        return [entry["response"]["status"] for entry in entries]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """Each request of this test, as the server understood it."""
        return [entry["body"] for entry in self._control("GET", f"journal?testId={self.test}")]

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = Request(  # the loopback
            f"{self.url}/__aimock/{path}", sent, {"Content-Type": "application/json"}, method=method
        )
        with urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


def _fixture(answer: Any) -> dict[str, Any]:
    """Return an answer as the server is told it."""
    match answer:
        case Fails(status, headers):
            error: dict[str, Any] = {"error": {"message": f"failed with {status}"}, "status": status}
            wait = dict(headers).get("retry-after")
            return {"response": error | ({"retryAfter": float(wait)} if wait else {})}
        case Garbled():
            return {"response": {"content": "never"}, "chaos": {"malformedRate": 1}}
        case HangsUp():
            return {"response": {"content": "never"}, "chaos": {"disconnectRate": 1}}
        case Slow(milliseconds):
            return {"response": {"content": "late"}, "chaos": {"latencyMs": milliseconds}}
        case Cut(parts, events):
            return {"response": _response(parts), "truncateAfterChunks": events, "chunkSize": 4}
        case _:
            return {"response": _response(answer)}


def _response(parts: tuple[Part, ...]) -> dict[str, Any]:
    usage = {
        "prompt_tokens": READ,
        "completion_tokens": WRITTEN,
        "prompt_tokens_details": {"cached_tokens": CACHED},
        "input_tokens": READ,
        "output_tokens": WRITTEN,
    }
    text = "".join(part for part in parts if isinstance(part, str))
    calls = [{"name": part.name, "arguments": part.arguments} for part in parts if isinstance(part, UseTool)]
    said: dict[str, Any] = {"content": text} if text or not calls else {}
    return said | ({"toolCalls": calls} if calls else {}) | {"usage": usage}

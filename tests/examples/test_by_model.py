"""Reading by a model: a server on loopback answers as OpenAI-compatible ones do; the proof guards it."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from examples.invoice_intake.by_model import (
    Answer,
    AnsweredLine,
    ModelAnswerError,
    ModelError,
    ModelSettings,
    ModelUnavailable,
    extract_by_model,
    model_settings,
)
from examples.invoice_intake.document import Document, Unreadable
from examples.invoice_intake.drawing import draw_sheet
from examples.invoice_intake.make_samples import SAMPLES
from examples.invoice_intake.proof import Proof, prove
from examples.invoice_intake.reading import read_pdf
from flujo.errors import ConfigError
from tests.examples.papers import LAYOUTS

RIGHT = Answer(
    is_invoice=True,
    supplier="Thistle & Wren Stationers Ltd",
    number="TW-10482",
    date="2024-03-14",
    due="2024-04-13",
    currency="GBP",
    net="343.00",
    tax="68.60",
    gross="411.60",
    lines=[
        AnsweredLine(description="A4 copier paper, box", quantity="12", unit_price="18.50", total="222.00"),
        AnsweredLine(description="Fountain pen", quantity="3", unit_price="24.00", total="72.00"),
        AnsweredLine(description="Ledger, 200 pages", quantity="5", unit_price="9.80", total="49.00"),
    ],
)


class Recorded:
    """What the server was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[dict[str, object]] = []
        self.authorization: list[str] = []


@contextmanager
def serving(content: str, status: int = 200, error: str = "try later") -> Generator[Recorded]:
    """A chat completions server on loopback that always answers with this content, or with this error."""
    recorded = Recorded("")

    class Completions(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            recorded.requests.append(json.loads(body))
            recorded.authorization.append(self.headers.get("Authorization", ""))
            found = self.path == "/v1/chat/completions"
            message = {"role": "assistant", "content": content, "refusal": None}
            answer = {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1700000000,
                "model": recorded.requests[-1]["model"],
                "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020},
            }
            refusal = {"error": {"message": error, "type": "overloaded"}}
            data = json.dumps(answer if found and status == 200 else refusal).encode()
            self.send_response(status if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name it overrides
            """Keep the test's output quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Completions)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    recorded.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield recorded
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def document() -> Document:
    """The first sample."""
    reading = read_pdf(SAMPLES / "01-english-pounds.pdf")
    assert isinstance(reading, Document)
    return reading


async def judged(answer: Answer) -> Proof:
    """The proof of the first sample's facts as a model would read them."""
    reading = document()
    with serving(answer.model_dump_json()) as server:
        facts = await extract_by_model(reading, ModelSettings(model="m", base_url=server.url))
    return prove(reading, facts)


async def test_a_right_answer_is_proved_from_the_page() -> None:
    reading = document()
    with serving(RIGHT.model_dump_json()) as server:
        settings = ModelSettings(model="small-1", base_url=server.url, api_key="k-1")
        facts = await extract_by_model(reading, settings)
    assert facts.read_by == "small-1"
    assert (str(facts.amounts.gross.value), str(facts.dates.issued.value)) == ("411.60", "2024-03-14")
    assert prove(reading, facts).proved, prove(reading, facts).reason
    assert server.authorization == ["Bearer k-1"]
    (request,) = server.requests
    assert request["model"] == "small-1"
    assert '"strict": true' in json.dumps(request["response_format"])
    assert "TW-10482" in json.dumps(request["messages"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"gross": "999.00"},
        {"gross": "343.00"},
        {"gross": "343.00", "net": None, "tax": None},
        {"gross": "343.00", "net": "343.00", "tax": "0.00"},
        {"gross": "343.00", "net": "274.40", "tax": "68.60"},
        {"gross": "222.00", "net": None, "tax": None, "lines": RIGHT.lines[:1]},
        {"gross": "72.00", "net": "49.00", "tax": "23.00"},
        {"currency": "USD"},
        {"currency": None},
        {"date": "2024-03-15"},
        {"date": None},
        {"supplier": "Somebody Else Ltd"},
        {"number": "TW-99999"},
        {"is_invoice": False},
        {"gross": None},
        {"gross": "NaN"},
    ],
    ids=str,
)
async def test_a_wrong_answer_is_never_proved(wrong: dict[str, str | bool | None]) -> None:
    assert not (await judged(RIGHT.model_copy(update=wrong))).proved


async def test_invented_positions_prove_nothing(tmp_path: Path) -> None:
    (sheet,) = [sheet for sheet in LAYOUTS if sheet.name == "one_total"]
    path = tmp_path / "one.pdf"
    path.write_bytes(draw_sheet(sheet))
    reading = read_pdf(path)
    lines = [
        AnsweredLine(description="Ride", quantity=None, unit_price=None, total="30.00"),
        AnsweredLine(description="Tip", quantity=None, unit_price=None, total="4.50"),
    ]
    known = {
        "supplier": "Taxi Express GmbH",
        "number": "311",
        "date": "2021-05-12",
        "currency": "EUR",
        "due": None,
    }
    amounts = {"net": None, "tax": None, "gross": "34.50", "lines": lines}
    with serving(RIGHT.model_copy(update=known | amounts).model_dump_json()) as server:
        facts = await extract_by_model(reading, ModelSettings(model="m", base_url=server.url))
    proof = prove(reading, facts)
    assert not proof.proved
    assert proof.reason == "The line amount 30.00 is not printed anywhere."


async def test_an_answer_in_a_code_fence_is_read() -> None:
    with serving(f"Here it is:\n```json\n{RIGHT.model_dump_json()}\n```") as server:
        facts = await extract_by_model(document(), ModelSettings(model="m", base_url=server.url))
    assert facts.supplier.number.value == "TW-10482"


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        ("I cannot read it.", 200, "does not fit"),
        ('{"gross": 1}', 200, "does not fit"),
        ("", 503, "answered 503"),
    ],
)
async def test_a_useless_answer_is_an_error_that_says_so(content: str, status: int, message: str) -> None:
    with serving(content, status) as server, pytest.raises(ModelError, match=message):
        await extract_by_model(document(), ModelSettings(model="m", base_url=server.url))


async def test_no_server_is_an_error_that_says_so() -> None:
    with serving("") as server:
        url = server.url
    with pytest.raises(ModelUnavailable, match=r"127\.0\.0\.1 was not reached \(ConnectError\)"):
        await extract_by_model(document(), ModelSettings(model="m", base_url=url))


async def test_a_file_without_text_is_not_sent() -> None:
    unreadable = Unreadable(file="scan.pdf", problem="no_text", reason="It is a scan.")
    facts = await extract_by_model(unreadable, ModelSettings(model="m", base_url="http://127.0.0.1:9/v1"))
    assert facts.kind == "unreadable"


def test_settings_come_from_the_environment() -> None:
    assert model_settings({}) is None
    assert model_settings({"FLUJO_MODEL": " "}) is None
    settings = model_settings(
        {"FLUJO_MODEL": "openai:gpt-x", "OPENAI_API_KEY": "k", "FLUJO_MODEL_URL": "http://h/v1"}
    )
    assert settings == ModelSettings(model="gpt-x", base_url="http://h/v1", api_key="k")


KEY = "sk-secret-0123456789"


@pytest.mark.parametrize(
    ("content", "status"),
    [("", 401), ("", 500), (f"You sent {KEY}", 200), (f'{{"supplier": "{KEY}"}}', 200)],
)
async def test_what_a_server_says_with_an_error_is_not_repeated(content: str, status: int) -> None:
    with serving(content, status, f"bad key {KEY}") as server:
        settings = ModelSettings(model="m", base_url=server.url, api_key=KEY)
        with pytest.raises(ModelError) as raised:
            await extract_by_model(document(), settings)
    assert KEY not in str(raised.value)
    assert "127.0.0.1" in str(raised.value)
    assert isinstance(raised.value, ModelAnswerError) is (status == 200)


async def test_a_key_in_an_answer_is_struck_out() -> None:
    answer = RIGHT.model_copy(update={"supplier": KEY, "currency": KEY})
    with serving(answer.model_dump_json()) as server:
        settings = ModelSettings(model="m", base_url=server.url, api_key=KEY)
        facts = await extract_by_model(document(), settings)
    assert KEY not in facts.model_dump_json()
    assert str(facts.amounts.gross.value) == "411.60"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"FLUJO_MODEL": "bogus"}, "names no model of a known provider"),
        ({"FLUJO_MODEL": "bogus", "OPENAI_API_KEY": KEY}, "names no model of a known provider"),
        ({"FLUJO_MODEL": "openai:", "OPENAI_API_KEY": KEY}, "names no model of a known provider"),
        ({"FLUJO_MODEL": "openai:gpt-x"}, "needs a key"),
        ({"FLUJO_MODEL": "m", "FLUJO_MODEL_URL": "not a url"}, "cannot be used"),
        ({"FLUJO_MODEL": "m", "FLUJO_MODEL_URL": "http://h:port/v1"}, "cannot be used"),
        ({"FLUJO_MODEL": "m", "FLUJO_MODEL_URL": "ftp://h/v1"}, "cannot be used"),
        ({"FLUJO_MODEL": "m", "FLUJO_MODEL_URL": f"http://u:{KEY}@h/v1"}, "holds a password"),
        ({"FLUJO_MODEL": "openai:m", "OPENAI_API_KEY": f"{KEY}\n{KEY}"}, "characters that no key has"),
    ],
)
def test_settings_that_cannot_work_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        model_settings(environ)
    assert KEY not in str(raised.value)

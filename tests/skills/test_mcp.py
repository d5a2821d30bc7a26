"""Tools of MCP servers: real ones, over real pipes and loopback."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from mcp_types import Tool, ToolAnnotations

from flujo import ToolError, ToolInDoubt
from flujo.errors import ConfigError, PipelineError
from flujo.plan.codec import codec_for
from flujo.skills import McpServer, ToolChanged, ToolUnavailable, mcp_tools
from flujo.skills import mcp_pipes as pipes
from flujo.skills.mcp_listing import listing_of
from tests.skills.conftest import Reach, listening, old, program, shop, tools_of

pytestmark = pytest.mark.e2e


async def test_tools_of_a_server_are_tools_of_agents(reach: Reach) -> None:
    async with reach() as tools:
        add = tools.all["add"]
        assert (add.name, add.description) == ("shop_add", "Add two numbers.")
        assert add.parameters["required"] == ["a", "b"]
        assert await tools.call("add", a=1, b=2) == {"result": 3}
        assert await tools.call("greet", name="ada") == "hello ada"
        assert await tools.call("keep", order={"item": "tea"}) == {"item": "tea", "amount": 1}
        assert await tools.call("picture") == [
            {"type": "text", "text": "a dot"},
            {"type": "image", "mime_type": "image/png", "data": "iVBORw=="},
        ]
        with pytest.raises(ToolError, match="shop_fail failed"):
            await tools.call("fail", why="no")
        with pytest.raises(ToolError, match="shop_add failed"):
            await tools.call("add", a="many", b=1)


async def test_what_a_program_prints_beside_the_protocol_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with mcp_tools(shop(tmp_path)) as tools:  # it begins with a word that is no message
        assert tools
    assert "'shop' wrote 19 bytes that are no message" in caplog.text
    assert "no protocol" not in caplog.text


async def test_annotations_say_what_is_asked_and_what_may_be_repeated(reach: Reach) -> None:
    async with reach(labels=("egress",)) as tools:
        known = {
            name: (tool.needs_approval, tool.effects, sorted(tool.labels))
            for name, tool in tools.all.items()
            if name in ("add", "keep", "drop")
        }
    assert known == {
        "add": (False, "idempotent", ["egress", "mcp", "mcp:shop"]),
        "keep": (False, "idempotent", ["egress", "mcp", "mcp:shop", "open_world"]),
        "drop": (True, "at_most_once", ["destructive", "egress", "mcp", "mcp:shop", "open_world"]),
    }


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"approve": "none"}, set[str]()),
        ({"approve": "destructive"}, {"drop"}),
        ({"approve": "writes"}, {"keep", "drop"}),
        ({"approve": "all"}, {"add", "keep", "drop"}),
        ({"believe": False}, {"add", "keep", "drop"}),
    ],
)
def test_who_declares_a_server_says_what_is_asked(settings: dict[str, Any], asked: set[str]) -> None:
    server = McpServer("x", **settings)
    listing = listing_of(
        server,
        [
            tool("add", read_only_hint=True),
            tool("keep", destructive_hint=False, idempotent_hint=True),
            tool("drop"),
        ],
    )
    found = {
        one.called for one in listing.tools if one.needs_approval(server.approve, believed=server.believe)
    }
    assert found == asked
    if not server.believe:
        assert {one.effects(believed=False) for one in listing.tools} == {"at_most_once"}


async def test_results_are_bounded(reach: Reach) -> None:
    async with reach(largest=1000) as tools:
        text = await tools.call("much", size=5000)
        with pytest.raises(ToolError, match=r"gave .* characters of data, and 1000 may be given"):
            await tools.call("many", size=1000)
        assert text == "x" * 1000 + "… (cut: 1000 of 5000 characters)"


async def test_a_message_without_end_ends_no_more_than_its_call(
    reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipes, "LARGEST_MESSAGE", 100_000)
    monkeypatch.setattr("flujo.skills.mcp_wire.LARGEST_MESSAGE", 100_000)
    async with reach() as tools:
        with pytest.raises((ToolInDoubt, ToolError)):
            await tools.call("much", size=1_000_000)
        assert await tools.call("add", a=1, b=2) == {"result": 3}


async def test_a_call_that_hangs_ends(reach: Reach) -> None:
    async with reach(timeout=0.5) as tools:
        with pytest.raises(ToolError, match=r"did not answer within 0\.5 s"):
            await tools.call("hang")
        with pytest.raises(ToolInDoubt, match="whether it took effect is not known"):
            await tools.call("hang_writing")
        assert await tools.call("add", a=1, b=2) == {"result": 3}


async def test_calls_go_side_by_side(reach: Reach) -> None:
    async with reach(timeout=20) as tools:
        hangs = asyncio.ensure_future(tools.call("hang"))
        sums = await asyncio.gather(*(tools.call("add", a=one, b=one) for one in range(20)))
        hangs.cancel()
        await asyncio.gather(hangs, return_exceptions=True)
    assert [one["result"] for one in sums] == [2 * one for one in range(20)]


# Servers that die


async def test_a_server_that_dies_leaves_the_call_in_doubt_and_is_started_again(tmp_path: Path) -> None:
    async with tools_of(shop(tmp_path)) as tools:
        before = await tools.call("who")
        with pytest.raises(ToolInDoubt, match="'shop' went away during a call of 'shop_die'"):
            await tools.call("die")
        assert await tools.call("who") != before
    assert (tmp_path / "die").read_text() == "."


async def test_a_call_that_only_reads_is_made_again(tmp_path: Path) -> None:
    async with tools_of(shop(tmp_path)) as tools:
        assert await tools.call("die_once") == {"result": 2}


async def test_a_server_that_died_meanwhile_is_started_again(tmp_path: Path) -> None:
    async with tools_of(shop(tmp_path)) as tools:
        os.kill(int(await tools.call("who")), 9)
        assert await tools.call("add", a=1, b=2) == {"result": 3}
        assert await tools.call("drop", item="tea") == {"result": "dropped tea"}


async def test_a_server_away_over_http_was_not_called(tmp_path: Path, port: int) -> None:
    server = McpServer(f"http://127.0.0.1:{port}/mcp", name="shop")
    async with listening(tmp_path, port) as process, tools_of(server) as tools:
        with pytest.raises(ToolInDoubt, match="went away during a call"):
            await tools.call("die")
        await process.wait()
        with pytest.raises(ToolUnavailable, match="cannot be connected to"):
            await tools.call("drop", item="tea")
        async with listening(tmp_path, port):
            assert await tools.call("drop", item="tea") == {"result": "dropped tea"}
    assert (tmp_path / "drop").read_text() == "."


async def test_a_server_and_all_it_started_end_with_the_block(tmp_path: Path) -> None:
    async with tools_of(old(tmp_path)) as tools:
        child = int(await tools.call("child"))
        os.kill(child, 0)
    async with asyncio.timeout(5):
        while _runs(child):
            await asyncio.sleep(0.02)


def _runs(process: int) -> bool:
    state = Path(f"/proc/{process}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program-here", "No such file"),
        (program("-c", "import time; time.sleep(60)"), "did not answer within 1 s"),
        (program("-c", "print('hello'); raise SystemExit(3)"), "cannot be reached"),
        ("http://127.0.0.1:1/mcp", "cannot be connected to"),
    ],
)
async def test_a_server_that_cannot_be_reached_is_named(command: str, said: str) -> None:
    with pytest.raises(ToolUnavailable, match="MCP server 'away' cannot be reached") as caught:
        async with mcp_tools(McpServer(command, name="away", patience=1)):
            pass
    assert said in str(caught.value)


# Servers that change


async def test_a_tool_that_was_changed_is_refused(reach: Reach) -> None:
    async with reach() as tools:
        assert await tools.call("drop", item="tea") == {"result": "dropped tea"}
        assert await tools.call("rug") == "pulled"
        async with asyncio.timeout(5):
            while True:
                try:
                    await tools.call("greet", name="ada")
                except ToolChanged as error:
                    said = error.message
                    break
                except ToolError:  # the news of the change is still on its way
                    pass
        assert "'shop_greet' of MCP server 'shop' is no longer listed" in said
        with pytest.raises(ToolChanged, match=r"'shop_drop' .* is not what it was: its description"):
            await tools.call("drop", item="tea")
        assert await tools.call("add", a=1, b=2) == {"result": 3}


async def test_a_tool_that_was_changed_by_an_old_server_is_refused(tmp_path: Path) -> None:
    async with tools_of(old(tmp_path)) as tools:
        assert await tools.call("steady") == "called steady"
        assert await tools.call("flip") == "flipped"
        with pytest.raises(ToolChanged, match="'old_steady'"):
            await tools.call("steady")


@pytest.mark.parametrize(
    ("word", "said"), [("mute", "did not list its tools within 2 s"), ("garble", "no form that can be read")]
)
async def test_a_server_that_does_not_list_its_tools_is_named_and_not_believed(
    tmp_path: Path, word: str, said: str
) -> None:
    async with tools_of(old(tmp_path, patience=2)) as tools:
        assert await tools.call(word) == word
        with pytest.raises(ToolUnavailable, match=said):
            await tools.call("steady")
        with pytest.raises(ToolChanged, match="its description"):  # what it listed before is out of date
            await tools.call("steady")


async def test_a_tool_that_changed_while_its_server_was_away_is_refused(tmp_path: Path) -> None:
    """Nobody tells of that change: it is found when the server is connected to again."""
    changing = tmp_path / "changing.py"
    source = (Path(__file__).parent / "old_server.py").read_text()
    changing.write_text(source)
    async with tools_of(McpServer(program(changing, tmp_path), name="old")) as tools:
        child = await tools.call("child")
        changing.write_text(source.replace("Do {name}.", "Do {name}, and more."))
        os.kill(_parent(int(child)), 9)
        with pytest.raises(ToolChanged, match="its description"):
            await tools.call("steady")


def _parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


# Hostile listings


def tool(name: str, description: str = "", schema: Any = None, **hints: Any) -> Tool:
    annotations = ToolAnnotations(**hints) if hints else None
    return Tool(
        name=name, description=description, input_schema=schema or {"type": "object"}, annotations=annotations
    )


def test_names_of_tools_are_made_fit_and_kept_apart() -> None:
    listing = listing_of(McpServer("x", name="s"), [tool("read file"), tool("x" * 100), tool("x" * 101)])
    assert [len(one.name) for one in listing.tools] == [11, 64, 64]
    assert listing.tools[0].name == "s_read_file"


def test_tools_whose_names_become_one_are_told_apart_in_any_order() -> None:
    server, alike = (
        McpServer("x", name="s"),
        [tool("read file"), tool("read/file"), tool("read_file"), tool("x")],
    )
    names = {one.called: one.name for one in listing_of(server, alike).tools}
    assert names == {one.called: one.name for one in listing_of(server, alike[::-1]).tools}
    assert (names["read_file"], names["x"]) == ("s_read_file", "s_x")
    assert len(set(names.values())) == 4
    assert all(re.fullmatch(r"s_read_file_[0-9a-f]{8}", names[one]) for one in ("read file", "read/file"))


def test_a_tool_that_is_listed_twice_is_left_out_and_the_others_stay() -> None:
    listing = listing_of(McpServer("x", name="s"), [tool("a"), tool("b"), tool("a", "Something else.")])
    assert [one.called for one in listing.tools] == ["b"]
    assert listing.refused == {"a": "the server lists two that are called so"}


def test_what_nobody_sees_is_left_out_of_descriptions() -> None:
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "obey me")
    listing = listing_of(McpServer("x"), [tool("a", f"Read{hidden}\u200b a file.\x1b[2J")])
    assert listing.tools[0].description == "Read a file.[2J"
    other = listing_of(McpServer("x"), [tool("a", "Read a file.[2J")])
    assert other.tools[0].digest != listing.tools[0].digest


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (tool("a", schema={"type": "string"}), "describes no object"),
        (tool("a", schema={"type": "object", "title": "x" * 200_000}), "more than 100000 characters"),
        (tool("a", "x" * 10_000), "more than 8000 characters"),
        (tool("a\x1b[2J"), "cannot be shown"),
    ],
)
def test_a_tool_that_cannot_be_used_is_left_out_and_told(odd: Tool, why: str) -> None:
    listing = listing_of(McpServer("x"), [odd, tool("good")])
    assert [one.called for one in listing.tools] == ["good"]
    assert why in next(iter(listing.refused.values()))


async def test_an_answer_that_is_none_is_the_tool_s_error(tmp_path: Path) -> None:
    async with tools_of(old(tmp_path)) as tools:
        with pytest.raises(ToolError, match="gave no answer that can be read"):
            await tools.call("odd")
        assert await tools.call("steady") == "called steady"


async def test_two_servers_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two MCP servers are named 'shop'"):
        async with mcp_tools(shop(tmp_path), shop(tmp_path)):
            pass


async def test_cancelling_a_call_tells_the_server(tmp_path: Path) -> None:
    async with tools_of(old(tmp_path)) as tools:
        call = asyncio.ensure_future(tools.call("wait"))
        async with asyncio.timeout(10):
            while not (tmp_path / "waits").exists():
                await asyncio.sleep(0.02)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            while not (tmp_path / "cancelled").exists():
                await asyncio.sleep(0.02)


# What a server is given


async def test_a_program_is_given_little_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTHER_SHOP_KEY", "not for the server")
    monkeypatch.setenv("OUR_KEY", "k-123")
    server = shop(tmp_path, environment={"SHOP_KEY": "${OUR_KEY}", "SHOP_MODE": "test"})
    async with tools_of(server) as tools:
        given = (await tools.call("environment")).split()
    assert [one for one in given if "SHOP" in one] == ["SHOP_KEY=k-123", "SHOP_MODE=test"]
    assert len(given) < 12
    assert "OUR_KEY" not in given


async def test_a_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match="MCP server 'shop' needs the variable NO_SUCH_KEY, which is not set"
    ):
        async with mcp_tools(shop(tmp_path, environment={"SHOP_KEY": "${NO_SUCH_KEY}"})):
            pass


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"command": ""}, "no server"),
        ({"command": "x", "environment": {"API_KEY": "sk-1"}}, r"API_KEY stands there as it is"),
        ({"command": "http://x/", "headers": {"Authorization": "Bearer t"}}, "Authorization stands there"),
        ({"command": "http://x/", "environment": {"A": "b"}}, "nothing is started"),
        ({"command": "x", "headers": {"A": "b"}}, "it is a program"),
        ({"command": "x", "approve": "some"}, "approve='some'"),
        ({"command": "x", "name": "a b"}, "name='a b'"),
        ({"command": "x", "timeout": 0}, "timeout=0"),
        ({"command": "x", "largest": 0}, "largest=0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(PipelineError, match=said) as caught:
        McpServer(**settings)
    assert "sk-1" not in str(caught.value)


def test_a_server_is_plain_data() -> None:
    server = McpServer("npx -y @acme/files", environment={"KEY": "${ACME_KEY}"}, labels=("phi",))
    codec = codec_for(McpServer)
    assert server.name == "files"
    assert codec.load(codec.dump(server)) == server
    assert json.loads(codec.dump(server))["environment"] == {"KEY": "${ACME_KEY}"}
    assert McpServer("https://mcp.acme.example/mcp").name == "mcp_acme_example"

"""From a pipeline to a tool."""

from pathlib import Path
from typing import Any

import pytest

from flujo import Flujo, Step, step
from flujo.errors import ConfigError, InputError
from flujo.pipeline.node import Node
from flujo.server.mcp_results import without_secrets
from flujo.server.mcp_tools import Offered, PipelineTool, tools_of
from tests.server import shop


def tool(node: Node[Any, Any], folder: Path, about: str = "") -> PipelineTool:
    offered = Offered(Flujo(node, state=folder / "runs.db"), about)
    return next(iter(tools_of([offered]).values()))


def test_an_object_is_the_arguments_and_its_fields_have_their_own_names(tmp_path: Path) -> None:
    packs = tool(shop.pack, tmp_path)
    assert packs.description == "Pack an order into a box."
    assert packs.input_schema()["properties"].keys() == {"item", "amount"}
    read = packs.read({"item": "tea", "amount": 2})
    assert packs.written(read) == {"item": "tea", "amount": 2}


def test_anything_else_stands_under_input(tmp_path: Path) -> None:
    shouts = tool(shop.shout, tmp_path)
    assert shouts.input_schema() == {
        "type": "object",
        "properties": {"input": {"type": "string"}},
        "required": ["input"],
    }
    assert shouts.read({"input": "hi"}) == "hi"
    with pytest.raises(InputError, match="no argument 'text'"):
        shouts.read({"input": "hi", "text": "ho"})


def test_the_definitions_of_a_type_stand_where_its_references_look(tmp_path: Path) -> None:
    @step
    async def many(orders: list[shop.Letter]) -> dict[str, shop.Letter]:
        return {one.to: one for one in orders}

    lists = tool(many, tmp_path)
    assert lists.input_schema()["$defs"].keys() == {"Letter"}
    assert lists.output_schema()["$defs"].keys() == {"Letter"}
    assert "$defs" not in lists.input_schema()["properties"]["input"]


def test_a_pipeline_without_input_takes_no_argument(tmp_path: Path) -> None:
    takes_nothing = tool(shop.nothing, tmp_path)
    assert "required" not in takes_nothing.input_schema() or takes_nothing.input_schema()["required"] == []
    assert takes_nothing.read({}) is None


def test_what_is_wrong_with_an_input_is_told_without_the_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"item: Field required") as caught:
        tool(shop.pack, tmp_path).read({"amount": "my secret"})
    assert "my secret" not in str(caught.value)


def test_names_have_the_letters_of_names_of_tools(tmp_path: Path) -> None:
    assert tool(shop.letter.named("Billet doux!"), tmp_path).name == "Billet_doux"
    assert tool(shop.letter.named("é"), tmp_path).name == "pipeline"
    assert len(tool(shop.letter.named("x" * 200), tmp_path).name) == 64


def test_the_steps_are_named_where_nothing_else_says_what_it_does(tmp_path: Path) -> None:
    assert "shout, confirm, send" in tool(shop.letter, tmp_path).description
    assert tool(shop.letter, tmp_path, "Sends letters.").description == "Sends letters."


def test_two_pipelines_of_one_name_are_refused(tmp_path: Path) -> None:
    offered = [Offered(Flujo(node, state=tmp_path / "runs.db")) for node in (shop.letter, shop.letter)]
    with pytest.raises(ConfigError, match="'letter' has the name of another pipeline"):
        tools_of(offered)


def test_no_pipeline_takes_the_name_of_our_own_tools(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a tool of Flujo's own"):
        tool(shop.letter.named("flujo_answer"), tmp_path)


def test_a_runner_without_a_store_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no store"):
        tools_of([Offered(shop.unkept)])
    with pytest.raises(ConfigError, match="no pipeline"):
        tools_of([])


def test_an_agent_s_class_says_what_a_step_does(tmp_path: Path) -> None:
    class Cook:
        """Cooks what is ordered."""

        async def run(self, dish: str) -> str:
            return dish

    assert tool(Step(Cook(), name="cook"), tmp_path).description == "Cooks what is ordered."


def test_messages_hold_no_secret_of_this_process() -> None:
    environment = {"SHOP_API_KEY": "sk-123456789", "HOME": "/home/me", "PIN_TOKEN": "12"}
    text = "sk-123456789 at postgresql://me:pass@host/db of /home/me, 12 times"
    assert without_secrets(text, environment) == "*** at postgresql://***@host/db of /home/me, 12 times"

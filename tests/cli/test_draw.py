"""`flujo show`: pipelines as trees, Mermaid, SVG and JSON."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from inline_snapshot import snapshot

from flujo import Branch, Loop, Map, Parallel, SubPipeline
from flujo.cli.draw import as_json, draw, mermaid, tree
from flujo.cli.svg import svg
from flujo.pipeline.decorator import step
from flujo.pipeline.node import Pipeline
from flujo.pipeline.step import Retry, Step
from flujo.pipeline.waits import HumanInput, Sleep, WaitForEvent
from flujo.plan.compile import compile_plan
from flujo.plan.plan import Plan
from tests.cli.conftest import Shell


@step
async def read(text: str) -> str:
    return text


@step
async def count(text: str) -> int:
    return len(text)


@step
async def told(found: dict[str, int | str]) -> str:
    return str(found)


@step
async def joined(parts: list[str]) -> str:
    return "".join(parts)


def way(text: str) -> bool:
    return bool(text)


def words(text: str) -> list[str]:
    return text.split()


def every_kind() -> Pipeline[str, str]:
    """A pipeline with a node of each kind."""
    careful = Step(
        read.agent, name="careful", retry=Retry(3), timeout=5, fallback=read.named("backup"), cache=True
    )
    return Pipeline(
        careful,
        Parallel(size=count, sub=SubPipeline(read.named("a") >> read.named("b"), name="inner"), name="look"),
        told,
        Map(read, over=words, concurrency=4),
        joined,
        Loop(read, until=way, max_turns=3),
        Branch(
            on=way,
            cases={
                True: HumanInput("Sure?", on_deny=read.named("no"), name="ask") >> read,
                False: Sleep(timedelta(hours=2)),
            },
        ),
        WaitForEvent("paid", schema=str, timeout=timedelta(days=1), on_timeout=read.named("late")),
        name='every "kind" <1>',
    )


@pytest.fixture
def plan() -> Plan:
    return compile_plan(every_kind())


def test_the_tree(plan: Plan) -> None:
    assert tree(draw(plan)) == snapshot("""\
every "kind" <1>  str → str
├─ careful  (3 attempts, 5 s each, cached)
│  └─ fallback: backup
├─ look  (side by side)
│  ├─ size: count
│  └─ sub: inner  (pipeline)
│     ├─ a
│     └─ b
├─ told
├─ map  (for each item, 4 at once)
│  └─ each: read
├─ joined
├─ loop  (at most 3 turns)
│  └─ each turn: read
├─ branch  (one of)
│  ├─ true:
│  │  ├─ ask  (asks a person)
│  │  │  └─ denied: no
│  │  └─ read
│  └─ false: sleep  (waits 2 h)
└─ paid  (waits for 'paid', at most 1 d)
   └─ timed out: late\
""")


def test_the_tree_in_plain_letters(plan: Plan) -> None:
    assert tree(draw(plan), unicode=False).isascii()


def test_mermaid(plan: Plan) -> None:
    assert mermaid(draw(plan)) == snapshot("""\
flowchart TD
  begin(["every #34;kind#34; #60;1#62;"])
  n1["careful<br/><small>3 attempts, 5 s each, cached</small>"]
  begin --> n1
  n2["backup"]
  n1 -- "fallback" --> n2
  subgraph g3["look: side by side"]
    in3(( ))
    n4["count"]
    in3 -- "size" --> n4
    subgraph g5["inner: pipeline"]
      in5(( ))
      n6["a"]
      in5 --> n6
      n7["b"]
      n6 --> n7
    end
    in3 -- "sub" --> in5
  end
  n1 --> in3
  n2 --> in3
  n8["told"]
  n4 --> n8
  n7 --> n8
  subgraph g9["map: for each item, 4 at once"]
    in9(( ))
    n10["read"]
    in9 --> n10
  end
  n8 --> in9
  n11["joined"]
  n10 --> n11
  subgraph g12["loop: at most 3 turns"]
    in12(( ))
    n13["read"]
    in12 --> n13
    n13 -. again .-> in12
  end
  n11 --> in12
  n14{"branch<br/><small>one of</small>"}
  n13 --> n14
  n15[/"ask<br/><small>asks a person</small>"/]
  n14 -- "true" --> n15
  n16["no"]
  n15 -- "denied" --> n16
  n17["read"]
  n15 --> n17
  n16 --> n17
  n18(["sleep<br/><small>waits 2 h</small>"])
  n14 -- "false" --> n18
  n19(["paid<br/><small>waits for 'paid', at most 1 d</small>"])
  n17 --> n19
  n18 --> n19
  n20["late"]
  n19 -- "timed out" --> n20
  finish(["end"])
  n19 --> finish
  n20 --> finish
  classDef person fill:#fde68a,stroke:#b45309,color:#000
  class n15 person\
""")


def test_json_holds_every_node(plan: Plan) -> None:
    def paths(box: dict[str, Any]) -> Iterator[str]:
        if box["kind"] not in ("pipeline", "sequence"):
            yield box["path"]
        for part in box["parts"]:
            yield from paths(part)

    document = as_json(plan)
    assert list(paths(document["root"])) == list(plan.nodes)
    assert document["fingerprint"] == plan.fingerprint


def boxes(picture: str) -> list[tuple[float, float, float, float]]:
    """Return the corners of every card in an SVG."""
    found = re.findall(
        r'class="card[^"]*" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"', picture
    )
    return [(float(x), float(y), float(x) + float(w), float(y) + float(h)) for x, y, w, h in found]


def test_svg_is_sound_and_nothing_lies_on_another(plan: Plan) -> None:
    picture = svg(draw(plan))
    root = ET.fromstring(picture)  # trusted: it was made here
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    cards = boxes(picture)
    kinds = [
        node for node in plan.nodes.values() if node.kind in ("step", "human", "event", "sleep", "branch")
    ]
    assert len(cards) == len(kinds)
    for at, (left, top, right, bottom) in enumerate(cards):
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
        for x0, y0, x1, y1 in cards[at + 1 :]:
            assert right <= x0 or x1 <= left or bottom <= y0 or y1 <= top
    assert "prefers-color-scheme:dark" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")


def test_a_single_step_is_a_picture_as_well() -> None:
    plan = compile_plan(read)
    assert tree(draw(plan)) == "read  str → str\n└─ read"
    assert len(boxes(svg(draw(plan)))) == 1


@pytest.mark.parametrize(
    ("form", "begins"), [("tree", "letter  str"), ("mermaid", "flowchart"), ("svg", "<svg"), ("json", "{")]
)
def test_each_format_on_stdout_and_in_a_file(form: str, begins: str, flujo: Shell) -> None:
    told = flujo("show", "shop.py:letter", "--format", form)
    assert (told.code, told.out.startswith(begins), told.err) == (0, True, "")
    written = flujo("show", "shop.py:letter", "-f", form, "-o", "picture")
    assert (written.code, written.out, written.err) == (0, "", "wrote picture\n")
    assert Path("picture").read_text(encoding="utf-8") == told.out


def test_json_is_also_an_option(flujo: Shell) -> None:
    assert flujo("show", "shop.py:letter", "--json").out == flujo("show", "shop.py:letter", "-f", "json").out


def test_a_file_that_cannot_be_written(flujo: Shell) -> None:
    told = flujo("show", "shop.py:letter", "-o", "no/picture")
    assert (told.code, "cannot be written" in told.err) == (2, True)


def test_checking_says_what_it_found(flujo: Shell) -> None:
    assert flujo("check", "shop.py:letter").out.splitlines()[0] == snapshot(
        "ok: letter has 3 nodes; at worst 2 steps and 2 attempts"
    )
    assert flujo("check", "shop.py:letter", "--json").json["worst_case"] == {
        "steps": 2,
        "attempts": 2,
        "per_item": [],
    }

"""Every code block of the documentation runs as printed."""

from pathlib import Path

import pytest

from tests.docs.blocks import Block, blocks_of, run

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [
        path
        for place in ("*.md", "docs/**/*.md", "examples/**/*.md", "packages/*/*.md")
        for path in ROOT.glob(place)
    ]
)
BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document, ROOT)]


@pytest.mark.parametrize("block", BLOCKS, ids=[block.place for block in BLOCKS])
def test_a_block_of_the_documentation(block: Block, tmp_path: Path) -> None:
    run(block, tmp_path)


def test_the_readme_shows_code_that_runs() -> None:
    assert any(
        b.place.startswith("README.md") and b.language == "python" and "no-run" not in b.options
        for b in BLOCKS
    )

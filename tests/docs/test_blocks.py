"""The runner of the documentation's blocks finds what is wrong in one."""

from pathlib import Path

import pytest

from tests.docs.blocks import BlockError, blocks_of, run


def run_page(page: str, folder: Path) -> None:
    """Run every block of a page, each in a folder of its own."""
    document = folder / "page.md"
    document.write_text(page)
    for at, block in enumerate(blocks_of(document, folder)):
        place = folder / str(at)
        place.mkdir()
        run(block, place)


GOOD = {
    "python": "```python\nprint(1)\n```",
    "output": "```python\nprint('run', 17)\nprint(2)\n```\n\nprints\n\n```text output\nrun ...\n2\n```",
    "what varies": (
        "```python\nimport uuid\nprint('run', uuid.uuid4(), 'took   1.5 s, 7 ms')\n```\n"
        "```text output\nrun 01a1fb83-9b52-71c8-ade4-0b3f62bf35eb took <1 ms, 12 s\n```"
    ),
    "skipped lines": "```python\nfor n in range(9):\n    print(n)\n```\n```text output\n0\n...\n8\n```",
    "file": "```python file=one.py\nX = 1\n```\n\n```python\nfrom one import X\nassert X == 1\n```",
    "command": "```console\n$ python -c 'exit(3)'  # exits with 3\n$ python -c 'print(3)'\n3\n```",
    "errors": "```console\n$ python -c 'import sys; sys.exit(\"no\")'  # exits with 1\nno\n```",
    "killed": (
        "```console\n$ python -c 'import os; os.kill(os.getpid(), 9)'  # exits with 137: it was killed\n```"
    ),
    "indented": "- item\n\n  ```python\n  if True:\n      print(1)\n  ```",
    "not run": "```bash no-run\nmake demo\n```",
    "data": "```toml\na = 1\n```\n```json\n{}\n```\n```text\nanything\n```",
}

BAD = {
    "python": ("```python\n1 / 0\n```", "ZeroDivisionError"),
    "a warning": ("```python\nimport warnings\nwarnings.warn('old')\n```", "UserWarning: old"),
    "output": ("```python\nprint(1)\n```\n```text output\n2\n```", "the page says\n2"),
    "another kind": ("```python\nprint('took 1.5 m')\n```\n```text output\ntook 1.5 s\n```", "the page says"),
    "joined words": ("```python\nprint('ab')\n```\n```text output\na b\n```", "the page says"),
    "too little": ("```python\nprint(1)\nprint(2)\n```\n```text output\n1\n```", "the page says\n1"),
    "fresh names": ("```python\nx = 1\n```\n```python\nx\n```", "NameError"),
    "status": ("```console\n$ python -c 'raise SystemExit(2)'\n```", "ended with 2, not 0"),
    "expected status": ("```console\n$ python -c ''  # exits with 3\n```", "ended with 0, not 3"),
    "other commands": ("```bash\n$ rm -r /\n```", "`rm` is no command a test runs"),
    "no prompt": ("```bash\nmake demo\n```", "must begin with"),
    "no language": ("```\nx\n```", "nothing here can run"),
    "data": ("```toml\na =\n```", "Invalid value"),
}


@pytest.mark.parametrize("page", GOOD.values(), ids=GOOD.keys())
def test_a_page_that_holds(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path)
    assert (tmp_path / "0").exists()


@pytest.mark.parametrize(("page", "said"), BAD.values(), ids=BAD.keys())
def test_a_page_that_does_not_hold(page: str, said: str, tmp_path: Path) -> None:
    with pytest.raises((BlockError, ValueError), match=said):
        run_page(page, tmp_path)

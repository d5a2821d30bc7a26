"""`flujo init` and `flujo doctor`."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Shell


def test_a_new_project_runs(flujo: Shell) -> None:
    told = flujo("init", "help desk")
    assert (told.code, "next:  cd 'help desk' && flujo run helpdesk" in told.out) == (0, True)
    folder = Path("help desk")
    assert 'name = "help-desk"' in (folder / "pyproject.toml").read_text()
    assert flujo.real("check", "helpdesk", cwd=folder).code == 0
    usual = flujo.real("run", "helpdesk", "--input", "out of paper", "--quiet", cwd=folder)
    assert (usual.code, usual.out) == (0, "filed: out of paper (3 words)\n")
    urgent = flujo.real("run", "helpdesk", "--input", "it is down", "--quiet", cwd=folder)
    assert urgent.code == 3
    assert "flujo approvals approve" in urgent.err
    done = flujo.real("approvals", "approve", "last", "--resume", "--quiet", cwd=folder)
    assert (done.code, done.out) == (0, "escalated: it is down\n")
    assert flujo.real("audit", "verify", cwd=folder).code == 0


def test_the_tests_of_a_new_project_pass(flujo: Shell) -> None:
    flujo("init", "new")
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd="new",
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_what_is_there_is_kept(flujo: Shell) -> None:
    told = flujo("init")
    assert (told.code, "is not empty" in told.err, "--force" in told.err) == (2, True, True)
    assert flujo("init", "--force", "--json").json["files"][0] == "pyproject.toml"
    assert Path("shop.py").exists()


def test_a_folder_that_is_a_file(flujo: Shell) -> None:
    assert flujo("init", "shop.py").code == 2


def test_the_doctor_finds_all_well(flujo: Shell) -> None:
    told = flujo("doctor")
    assert (told.code, told.out.splitlines()[-1]) == (0, "all is well")
    assert "flujo_ops.db will be made by the first run" in told.out
    flujo("run", "shop.py:letter", "--input", "x")
    assert "1 run waiting" in flujo("doctor").out
    names = {one["name"] for one in flujo("doctor", "--json").json["findings"]}
    assert names >= {"python", "sqlite", "settings", "store", "rights", "space", "extra demo", "terminal"}


def test_the_doctor_finds_what_is_bad(flujo: Shell) -> None:
    Path("flujo_ops.db").write_bytes(b"x" * 4096)
    told = flujo("doctor")
    assert (told.code, "not a readable store" in told.out, "1 thing to mend" in told.out) == (1, True, True)
    Path("flujo_ops.db").unlink()
    Path("flujo.toml").write_text('stoer = "x"\n')
    told = flujo("doctor", "--json")
    bad = [one for one in told.json["findings"] if one["verdict"] == "bad"]
    assert (told.code, [one["name"] for one in bad]) == (1, ["settings"])
    assert "did you mean" in bad[0]["fix"]


def test_the_doctor_notes_a_store_that_others_can_read(flujo: Shell) -> None:
    flujo("run", "shop.py:shouted", "--input", "x")
    Path("flujo_ops.db").chmod(0o644)
    told = flujo("doctor")
    assert (told.code, "chmod 600 flujo_ops.db" in told.out) == (0, True)


@pytest.mark.parametrize("words", [["no/such.pdf"], ["no/such.pdf", "--auto"]])
def test_the_demonstration_wants_files_that_exist(words: list[str], flujo: Shell) -> None:
    told = flujo("demo", *words)
    assert (told.code, "there is no no/such.pdf" in told.err) == (2, True)

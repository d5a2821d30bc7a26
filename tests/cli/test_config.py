"""Settings: which source wins, and what happens to what is no setting."""

from pathlib import Path

import pytest
from inline_snapshot import snapshot

from flujo.cli.config import SETTINGS, load_config
from flujo.errors import ConfigError
from tests.cli.conftest import Shell


def write(text: str, name: str = "flujo.toml") -> None:
    Path(name).write_text(text, encoding="utf-8")


def test_the_command_line_goes_before_the_environment_a_file_and_the_default() -> None:
    seen: list[tuple[str, str]] = []
    environment: dict[str, str] = {}
    for step in ("default", "file", "environment", "option"):
        if step == "file":
            write('store = "file.db"\n')
        if step == "environment":
            environment["FLUJO_STORE"] = "environment.db"
        option = "option.db" if step == "option" else None
        value = load_config(environment=environment, store=option).values["store"]
        seen.append((str(value.value), value.source.rpartition("/")[2]))
    assert seen == snapshot(
        [
            ("flujo_ops.db", "default"),
            ("file.db", "flujo.toml"),
            ("environment.db", "FLUJO_STORE"),
            ("option.db", "--store"),
        ]
    )


def test_every_setting_has_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        given = {"durability": "async", "trace": "yes"}.get(setting.name, "x")
        monkeypatch.setenv(setting.variable, given)
        value = load_config().values[setting.name]
        assert (value.value, value.source) == (True if given == "yes" else given, setting.variable)


def test_the_file_is_searched_upwards(tmp_path: Path) -> None:
    write('store = "here.db"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    config = load_config(folder=below, environment={})
    assert (config.file, config.folder) == (tmp_path / "flujo.toml", tmp_path)
    assert Path(config.store).resolve() == tmp_path / "here.db"


def test_pyproject_serves_as_well_where_it_speaks_of_flujo(tmp_path: Path) -> None:
    write('[tool.flujo]\nactor = "ada"\n', "pyproject.toml")
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pyproject.toml").write_text("[tool.other]\nx = 1\n")
    assert load_config(folder=inner, environment={}).text("actor") == "ada"


def test_env_files_are_never_read(flujo: Shell) -> None:
    write("FLUJO_STORE=other.db\n", ".env")
    assert flujo("config", "show", "--json").json["settings"]["store"]["value"] == "flujo_ops.db"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('stoer = "x"', "did you mean 'store'?"),
        ("xyz = 1", "the settings are store, durability"),
        ("store = 1", "put it in quotes"),
        ('durability = "asinc"', "did you mean 'async'?"),
        ('trace = "maybe"', "use true or false"),
        ("targets = 1", "[targets]"),
        ("store = ", "mend that line"),
    ],
)
def test_what_is_wrong_in_a_file(text: str, said: str, flujo: Shell) -> None:
    write(text)
    with pytest.raises(ConfigError) as error:
        load_config(environment={})
    assert said in error.value.fix
    told = flujo("runs", "list")
    assert (told.code, said in told.err, "flujo.toml" in told.err) == (2, True, True)


@pytest.mark.parametrize("folder", [True, False])
def test_a_settings_file_that_cannot_be_read_does_not_count_as_none(folder: bool, flujo: Shell) -> None:
    if folder:
        Path("flujo.toml").mkdir()
    else:
        Path("flujo.toml").symlink_to("nowhere")
    told = flujo("run", "shop.py:shouted", "x")
    assert (told.code, told.out) == (2, "")
    assert "flujo.toml cannot be read: " in told.err
    assert "To fix: make it a file that you may read" in told.err


def test_a_setting_that_is_no_utf8(flujo: Shell) -> None:
    told = flujo("runs", "list", env={"FLUJO_STORE": "bad\udcff"})
    assert (told.code, told.out) == (2, "")
    assert "FLUJO_STORE: store is not UTF-8: b'bad\\xff'" in told.err


def test_a_current_folder_that_no_journal_can_name(tmp_path: Path, flujo: Shell) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    told = flujo.real("run", "../shop.py:shouted", "x", "--json", cwd=folder)
    assert (told.code, told.error["code"]) == (2, "config")
    assert "is not UTF-8: b'" in told.error["message"]


def test_a_current_folder_that_was_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flujo: Shell
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    told = flujo("runs", "list")
    assert (told.code, "the current folder was removed" in told.err) == (2, True)


def test_each_value_is_shown_with_its_source(flujo: Shell) -> None:
    write('actor = "ada"\n[targets]\nletter = "shop.py:letter"\n')
    told = flujo("config", "show", env={"FLUJO_DURABILITY": "async"})
    shown = {line.split()[0]: line.split()[1:3] for line in told.out.splitlines()[1:]}
    assert shown["durability"] == ["async", "FLUJO_DURABILITY"]
    assert shown["actor"] == ["ada", str(Path("flujo.toml").resolve())]
    assert shown["store"] == ["flujo_ops.db", "default"]
    assert shown["targets.letter"][0] == "shop.py:letter"


def test_a_password_in_an_address_is_not_shown(flujo: Shell) -> None:
    told = flujo("config", "show", env={"FLUJO_MODEL_URL": "https://me:secret@example.org/v1"})
    assert "secret" not in told.out
    assert "https://***@example.org/v1" in told.out


def test_a_variable_that_is_no_setting_is_mentioned(flujo: Shell) -> None:
    told = flujo("config", "show", env={"FLUJO_STOER": "x"})
    assert told.err == "warning: FLUJO_STOER is no setting; did you mean FLUJO_STORE?\n"

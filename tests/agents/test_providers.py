"""Where the keys of providers come from; they are never shown."""

from pathlib import Path

import pytest

from flujo.agents import configure_provider, make_agent_async
from flujo.agents.names import model_named
from flujo.agents.providers import Provider, arguments_for
from flujo.cli.config import load_config
from flujo.errors import ConfigError

KEY = "sk-very-secret"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flujo.agents.providers._providers", {})
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("place", ["env", "file", "plain"])
def test_a_key_from_where_it_is(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEAM_KEY", KEY)
    (tmp_path / "key").write_text(f"{KEY}\n")
    reference = {"env": "env:TEAM_KEY", "file": f"file:{tmp_path / 'key'}", "plain": KEY}[place]
    configure_provider("openai", api_key=reference, base_url="http://localhost:1/v1")
    assert arguments_for("openai") == {"api_key": KEY, "base_url": "http://localhost:1/v1"}
    assert model_named("openai:gpt-4o", "clerk").base_url == "http://localhost:1/v1/"


@pytest.mark.parametrize("reference", ["env:NO_SUCH_KEY", "file:/no/such/key"])
async def test_a_key_that_is_not_there(reference: str) -> None:
    configure_provider("openai", api_key=reference)
    with pytest.raises(ConfigError, match=f"is not at {reference}"):
        await make_agent_async("openai:gpt-4o")


def test_a_key_is_not_shown() -> None:
    assert KEY not in repr(Provider(KEY))


def test_the_settings_file_says_how_a_provider_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_KEY", KEY)
    (tmp_path / "flujo.toml").write_text('[providers.openai]\napi_key = "env:TEAM_KEY"\n')
    load_config(folder=tmp_path, environment={})
    assert arguments_for("openai") == {"api_key": KEY}


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ('providers = "openai"', "no table of texts"),
        ("[providers.openai]\napi_key = 5", "no table of texts"),
        ('[providers.openai]\nkey = "env:X"', "sets 'key'"),
    ],
)
def test_a_table_that_says_something_else(table: str, wrong: str, tmp_path: Path) -> None:
    (tmp_path / "flujo.toml").write_text(table)
    with pytest.raises(ConfigError, match=wrong):
        load_config(folder=tmp_path, environment={})

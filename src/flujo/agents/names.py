"""Models and settings by their names, and what was meant where there is none of that name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, cast, get_args, get_type_hints

from pydantic_ai import UserError
from pydantic_ai.models import KnownModelName, Model, infer_model
from pydantic_ai.providers import Provider, infer_provider, infer_provider_class
from pydantic_ai.settings import ModelSettings

from flujo.agents.providers import arguments_for
from flujo.errors import ConfigError, PipelineError

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*_(?:API_KEY|TOKEN|KEY)")
_INSTALL = re.compile(r'pip install "([^"]+)"')


def model_named(model: object, agent: str) -> Model:
    """Return a model by its name, or the model itself.

    Args:
        model: ``provider:model``, or a model of pydantic-ai.
        agent: The name of the agent that it is for.

    Raises:
        ConfigError: It is not known, its provider's package is not installed, or there is no key for it.
    """
    if isinstance(model, Model):
        return cast("Model", model)
    if not isinstance(model, str):
        raise ConfigError(
            f"agent {agent!r}: {type(model).__name__} is no model",
            fix="name one as provider:model, or pass a model of pydantic-ai",
        )
    try:
        return infer_model(model, _provider)
    except ImportError as error:
        raise ConfigError(
            f"agent {agent!r}: the client of {model!r} is not installed", fix=_install(str(error))
        ) from None
    except (UserError, ValueError) as error:
        said = str(error)
        variable = _VARIABLE.search(said)
        if variable is None:
            raise ConfigError(
                f"agent {agent!r}: the model {model!r} is not known", fix=_meant(model)
            ) from None
        raise ConfigError(
            f"agent {agent!r}: there is no key for {model!r}",
            fix=f"set {variable[0]} in the environment, or pass a model that was made with its key",
        ) from None


def _provider(name: str) -> Provider[Any]:
    given = arguments_for(name)
    return infer_provider_class(name)(**given) if given else infer_provider(name)


def check_settings(settings: Mapping[str, Any], agent: str) -> None:
    """Check that a model's settings are ones that models have.

    Settings of one provider begin with its name, as ``openai_reasoning_effort`` does.

    Raises:
        PipelineError: There is no such setting, or another one is meant for it.
    """
    known = get_type_hints(ModelSettings)
    for name in settings:
        if name == "max_retries":
            raise PipelineError(
                f"agent {agent!r}: clients do not retry by themselves here",
                fix="say how often a request is sent: requests=Retry(…)",
            )
        if name in known or name.partition("_")[0] in _providers():
            continue
        close = difflib.get_close_matches(name, known, n=1)
        raise PipelineError(
            f"agent {agent!r}: models have no setting {name!r}",
            fix=f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(known))}",
        )


def _install(said: str) -> str:
    package = _INSTALL.search(said)
    return f"pip install '{package[1]}'" if package else said


def _meant(model: str) -> str:
    """Return what to do about a name that is not known."""
    names, providers = _known(), _providers()
    provider, colon, name = model.rpartition(":")
    if colon:
        near = difflib.get_close_matches(provider, providers, n=1)
        meant = f"{near[0]}:{name}" if near else ""
    else:
        family = re.split(r"[-.\d]", name)[0]
        near = [one.partition(":")[0] for one in names if family and one.partition(":")[2].startswith(family)]
        meant = f"{min(near, key=lambda one: (-near.count(one), len(one)))}:{name}" if near else ""
    if not meant:
        meant = next(iter(difflib.get_close_matches(model, names, n=1, cutoff=0.8)), "")
    if meant:
        return f"did you mean {meant!r}?"
    return f"name it as provider:model, with a provider of {', '.join(sorted(providers))}"


def _known() -> list[str]:
    """Return the names that are known, without those of one provider behind another."""
    names: tuple[str, ...] = get_args(KnownModelName.__value__)
    return [name for name in names if "/" not in name.partition(":")[0]]


def _providers() -> set[str]:
    return {name.partition(":")[0] for name in _known() if ":" in name}

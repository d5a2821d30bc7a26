"""`Reidentify`: the step that puts back what `Deidentify` took out, for those who may, and on the record."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast, get_type_hints, overload

from pydantic import TypeAdapter
from pydantic_core import to_json

from flujo import PipelineContext, StepInfo
from flujo.errors import PipelineError, PolicyDenied
from flujo.governance import Principal
from flujo.pipeline.effect import Effect, Judged
from flujo_deidentifier.errors import UnknownToken
from flujo_deidentifier.keys import Keys
from flujo_deidentifier.scope import Scope, Standing, Subject
from flujo_deidentifier.tokens import LITERAL, Token
from flujo_deidentifier.vault import Vault
from flujo_deidentifier.work import Reidentifying

T = TypeVar("T")
R = TypeVar("R")
TOOL = "reidentify"
"""What policies know the act as."""


class Reidentify(Generic[T]):
    """Puts back what `Deidentify` took out: the agent of a step.

    It is done only for a principal who may, only where the policies allow a call of the tool ``reidentify``,
    and each time is recorded first: who, how many values of which kinds, and digests of the tokens; never
    the values. Its output holds them, and is recorded as every output is: where the journal must not hold
    them, use :meth:`deliver`.

    Args:
        kind: The type of what it is given, and gives.
        keys: The keys that it was taken out with.
        vault: Where the values of random tokens are kept.
        scope: As it was taken out.
        subject: As it was taken out.
        permission: What a principal needs: a role, or one of its attribute ``permissions``; or a function of
            the principal that says whether it may.
        entities: The kinds of personal data to put back; all when left out.
        strict: Whether what looks like a token and was changed is an error; else it stays as it is.
        depth: How deep values may be nested.
        name: The step's name.

    Raises:
        PipelineError: A setting cannot work.
    """

    def __init__(
        self,
        kind: type[T],
        *,
        keys: Keys,
        vault: Vault | None = None,
        scope: Scope = "run",
        subject: Subject | None = None,
        permission: str | Callable[[Principal], bool] = TOOL,
        entities: Iterable[str] | None = None,
        strict: bool = True,
        depth: int = 100,
        name: str = "reidentify",
    ) -> None:
        if isinstance(permission, str) and not permission:
            raise PipelineError(
                "permission='' is none", fix="name a role, or pass a function of the principal"
            )
        self._kind = kind
        self._keys = keys
        self._vault = vault
        self._standing = Standing(scope, subject)
        self._permission = permission
        self._entities = None if entities is None else frozenset(entities)
        self._strict = strict
        self._depth = depth
        self.__name__ = name

    @property
    def part_of_plan(self) -> str:
        """What a plan's fingerprint holds of it: what it does."""
        entities = "all" if self._entities is None else ",".join(sorted(self._entities))
        return f"reidentify {entities} {self._standing.scope}"

    @property
    def run(self) -> Callable[[T, StepInfo, PipelineContext], Coroutine[Any, Any, T]]:
        """What a step calls."""

        async def run(input: T, info: StepInfo, context: PipelineContext) -> T:
            return await self.answer(input, info, context)

        run.__annotations__ |= {"input": self._kind, "return": self._kind}
        return run

    @overload
    def deliver(self, to: Callable[[T], Awaitable[R]], *, once: bool = False) -> "Deliver[T, R]": ...
    @overload
    def deliver(self, to: Callable[[T], R], *, once: bool = False) -> "Deliver[T, R]": ...
    def deliver(self, to: Callable[[T], Any], *, once: bool = False) -> "Deliver[T, Any]":
        """Return an agent that gives the restored value to a function alone, and gives what that returns.

        Args:
            to: What is called with the restored value, as an effect of the step: once, and answered from the
                journal ever after. One that is not ``async`` runs in a worker thread.
            once: Whether a person settles what became of a call whose end is unknown, before another.
        """
        return Deliver(self, to, once=once)

    async def answer(self, input: T, info: StepInfo, context: PipelineContext) -> T:
        """Return the input with what was taken out put back.

        Raises:
            PolicyDenied: The principal may not, or a policy denied.
            TokenError: A token was changed, is unknown here, or does not open with these keys.
        """
        return await self.restored(input, info, context, await self.allowed(input, info))

    async def allowed(self, input: T, info: StepInfo) -> frozenset[str]:
        """Return the kinds of personal data that may be put back; that they are is on the record by then.

        Raises:
            PolicyDenied: The principal may not, or a policy denied.
        """
        if not self._may(info.principal):
            raise PolicyDenied(
                f"{info.principal.id or 'nobody that is named'!r} may not re-identify at {info.address!r}",
                step=info.address,
                address=info.address,
                attempt=info.attempt,
                fix="run it with a principal who has the permission, or ask whoever gives it",
                policy=TOOL,
                rule=self._permission if isinstance(self._permission, str) else "permission",
                reason="re-identifying is a permission of its own",
                point="before_tool",
                tool=TOOL,
            )
        tokens = await asyncio.to_thread(self._work().survey, input)
        told = [token for token in tokens if token.entity != LITERAL]
        kinds = sorted({token.entity for token in told})
        if not told:
            return frozenset()

        async def act(_: StepInfo, data: Mapping[str, Any] | None = None) -> list[str]:
            given = kinds if data is None else cast("Sequence[str]", data.get("entities", ()))
            return [kind for kind in kinds if kind in given]

        effect = Effect(
            kind=TOOL,
            number=1,
            describe=lambda _: self._record(info, told),
            act=act,
            dump=to_json,
            load=lambda written: written,
            judged=Judged(
                TOOL, lambda: {"entities": kinds, "count": len(told)}, lambda written: written, act
            ),
        )
        return frozenset(await info.perform(effect))

    async def restored(
        self, input: T, info: StepInfo, context: PipelineContext, allowed: frozenset[str]
    ) -> T:
        """Return the input with what was taken out put back, as far as it is allowed."""
        place = self._standing.place(input, context, run_id=info.run_id, tenant=info.principal.tenant)
        work = self._work()
        tokens = await asyncio.to_thread(work.survey, input)
        wanted = [token for token in tokens if token.entity in allowed or token.entity == LITERAL]
        values = await self._values(place.scope, wanted)
        return await asyncio.to_thread(work.finish, input, values)

    def _work(self) -> Reidentifying:
        return Reidentifying(entities=self._entities, strict=self._strict, depth=self._depth)

    def _may(self, principal: Principal) -> bool:
        if not isinstance(self._permission, str):
            return self._permission(principal) is True
        granted = principal.attributes.get("permissions", ())
        listed = cast("Sequence[object]", granted) if isinstance(granted, list | tuple) else ()
        return self._permission in principal.roles or self._permission in listed

    def _record(self, info: StepInfo, tokens: Sequence[Token]) -> dict[str, Any]:
        """Return what is recorded of putting tokens back: who, and what kinds; never the values."""
        digests = sorted({token.digest for token in tokens})
        return {
            "call": TOOL,
            "arguments": {"tokens": sha256("\n".join(digests).encode()).hexdigest()[:16]},
            "principal": info.principal.id,
            "tenant": info.principal.tenant,
            "scope": self._standing.scope,
            "entities": dict(sorted(Counter(token.entity for token in tokens).items())),
            "tokens": digests,
            "keys": sorted({token.key_id or "vault" for token in tokens}),
        }

    async def _values(self, scope: str, tokens: Sequence[Token]) -> dict[str, str]:
        """Return what tokens stand for, by their text."""
        values: dict[str, str] = {}
        kept = [token for token in tokens if token.random]
        if kept and self._vault is None:
            raise UnknownToken(
                "random tokens open with the vault that they were made with", fix="pass vault="
            )
        if kept and self._vault is not None:
            opened = await self._vault.values(self._keys, scope, [(one.entity, one.random) for one in kept])
            values |= {token.text: opened[token.random] for token in kept}
        for token in tokens:
            if not token.random:
                bound = (scope.encode(), token.entity.encode())
                plain = self._keys.open("encrypt", token.key_id, token.sealed, *bound)
                values[token.text] = plain.decode("utf-8", "surrogatepass")
        return values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._kind.__name__}, scope={self._standing.scope!r})"


class Deliver(Generic[T, R]):
    """Gives a function what `Reidentify` restores, and gives what that returns: made by `Reidentify.deliver`.

    The journal holds what the function returns, and neither the restored value nor a digest of it.
    """

    def __init__(self, by: Reidentify[T], to: Callable[[T], Any], *, once: bool) -> None:
        self._by = by
        self._to = to
        self._once = once
        self._input = TypeAdapter[Any](by._kind)
        self._gives: Any = get_type_hints(to).get("return", Any) if inspect.isroutine(to) else Any
        self._output = TypeAdapter[Any](self._gives)
        self.__name__ = by.__name__

    @property
    def part_of_plan(self) -> str:
        """What a plan's fingerprint holds of it: what it does."""
        return f"deliver {self._by.part_of_plan}"

    @property
    def run(self) -> Callable[[T, StepInfo, PipelineContext], Coroutine[Any, Any, R]]:
        """What a step calls."""

        async def run(input: T, info: StepInfo, context: PipelineContext) -> R:
            return await self.answer(input, info, context)

        run.__annotations__ |= {"input": self._by._kind, "return": self._gives}
        return run

    async def answer(self, input: T, info: StepInfo, context: PipelineContext) -> R:
        """Return what the function returns for the restored input.

        Raises:
            PolicyDenied: The principal may not, or a policy denied.
            TokenError: A token was changed, is unknown here, or does not open with these keys.
        """
        allowed = await self._by.allowed(input, info)
        name = getattr(self._to, "__name__", "deliver")

        async def act(_: StepInfo, data: Mapping[str, Any] | None = None) -> Any:
            given = input if data is None else self._input.validate_python(data["input"])
            return await self._called(await self._by.restored(given, info, context, allowed))

        def describe(_: Callable[[bytes], str]) -> dict[str, Any]:
            told = sha256(info.run_id.encode() + self._input.dump_json(input)).hexdigest()[:16]
            return {"call": name, "arguments": {"input": told}}

        def given() -> dict[str, Any]:
            return {"input": self._input.dump_python(input, mode="json")}

        effect = Effect(
            kind="deliver",
            number=1,
            describe=describe,
            act=act,
            dump=self._output.dump_json,
            load=self._output.validate_python,
            once=self._once,
            judged=Judged(name, given, lambda written: written, act),
        )
        return cast("R", await info.perform(effect))

    async def _called(self, value: T) -> Any:
        if inspect.iscoroutinefunction(self._to):
            return await self._to(value)
        return await asyncio.to_thread(self._to, value)

"""The role that answers questions by reading a database."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Self, TypeVar, overload

from pydantic import BaseModel, JsonValue
from pydantic_ai import ModelRetry
from pydantic_ai.models import Model
from typing_extensions import Unpack, override

from flujo.agents.marks import as_data
from flujo.agents.role import RoleAgent, RoleSettings, marked
from flujo.agents.sql_check import Checked, Refused, Tables, check_sql
from flujo.agents.sql_run import Database, Rows, database_of, shown_tables
from flujo.errors import ConfigError, PipelineError
from flujo.pipeline.checks import check_count, seconds
from flujo.pipeline.context import PipelineContext
from flujo.pipeline.info import StepInfo

Out = TypeVar("Out", covariant=True)


class SQLQuery(BaseModel):
    """A query that was checked, and has not run.

    Attributes:
        sql: The query.
        explanation: What it answers, and what it assumes.
        tables: The tables that it reads.
    """

    sql: str
    explanation: str
    tables: list[str]


class SQLAnswer(SQLQuery):
    """A query that ran, and what the database gave; no model has touched the rows.

    Attributes:
        columns: The names of the columns.
        rows: The rows, as JSON: decimals, times and identifiers as texts, bytes in hexadecimal digits.
        truncated: Whether there are more rows than were asked for, or than 1 MB holds.
    """

    columns: list[str]
    rows: list[list[JsonValue]]
    truncated: bool


class SQLQueryAgent(RoleAgent[Out]):
    """Answers questions about a database: writes a query that only reads, and gives what it finds.

    Each query is parsed and judged before it runs, and runs over a connection that cannot write. Why a query
    was refused or failed goes back to the model. Looking at the tables and running a query are effects of the
    step: a run that is resumed sees what it saw.

    Args:
        database: A path or what opens a connection (SQLite), ``postgresql://…``, or a :class:`Database`.
        model: The model.
        rows: The most rows that an answer has.
        seconds: The time limit of a query.
        only: The tables that may be read; all that the database tells of, when left out.
        tables: The columns of each table and their types, where the database is not to be asked for them.
        functions: Functions that may be called besides those that are known to only compute.
        execute: Whether the query runs; else an :class:`SQLQuery` is given.
        settings: What else is to be changed: see :class:`RoleSettings`.

    Raises:
        PipelineError: A setting cannot work.
        ConfigError: There is no such database, or a package is missing.
    """

    role = "sql_query"
    label = "question"
    database: Database
    rows: int
    seconds: float
    only: frozenset[str]
    tables: Tables | None
    functions: frozenset[str]
    execute: bool

    @overload
    def __init__(
        self: SQLQueryAgent[SQLAnswer],
        database: object,
        *,
        model: str | Model,
        rows: int = 100,
        seconds: float = 10.0,
        only: Collection[str] = (),
        tables: Mapping[str, Mapping[str, str]] | None = None,
        functions: Collection[str] = (),
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    @overload
    def __init__(
        self: SQLQueryAgent[SQLQuery],
        database: object,
        *,
        model: str | Model,
        rows: int = 100,
        seconds: float = 10.0,
        only: Collection[str] = (),
        tables: Mapping[str, Mapping[str, str]] | None = None,
        functions: Collection[str] = (),
        execute: bool,
        **settings: Unpack[RoleSettings],
    ) -> None: ...
    def __init__(
        self,
        database: object,
        *,
        model: str | Model,
        rows: int = 100,
        seconds: float = 10.0,
        only: Collection[str] = (),
        tables: Mapping[str, Mapping[str, str]] | None = None,
        functions: Collection[str] = (),
        execute: bool = True,
        **settings: Unpack[RoleSettings],
    ) -> None:
        check_count(rows, "SQLQueryAgent, rows")
        for what, names in (("only", only), ("functions", functions)):
            if isinstance(names, str):
                raise PipelineError(f"SQLQueryAgent, {what}={names!r}", fix=f"pass a list: [{names!r}]")
        _check_output(settings)
        found = database_of(database)
        fields = {
            "database": found,
            "rows": rows,
            "seconds": _seconds(seconds),
            "only": frozenset(only),
            "tables": tables,
            "functions": frozenset(functions),
            "execute": execute,
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)
        settings = {"retries": 4, **settings}
        super().__init__(
            SQLAnswer if execute else SQLQuery,
            model,
            {"dialect": found.dialect, "rows": str(rows)},
            settings,
        )

    @override
    def replace(self, **changes: Any) -> Self:
        _check_output(changes)
        return super().replace(**changes)

    @override
    async def answer(self, input: Any, info: StepInfo, context: PipelineContext) -> Any:
        tables = self.tables or await info.do("tables", self.database.tables)
        if self.only:
            tables = _among(tables, self.only)

        async def query(sql: str, explanation: str) -> SQLQuery:
            """Answer the question by a query.

            Args:
                sql: One SELECT.
                explanation: What it answers, and what was assumed, in a sentence.
            """
            return await self._queried(sql, explanation, tables, info)

        schema = as_data("schema", shown_tables(tables))
        return await self.agent.replace(output_type=query).run(
            f"{schema}\n\n{marked(self.label, input)}", info, context
        )

    async def _queried(self, sql: str, explanation: str, tables: Tables, info: StepInfo) -> SQLQuery:
        """Judge a query and run it.

        Raises:
            ModelRetry: It was refused, or the database could not run it.
        """
        judged = check_sql(sql, self.database.dialect, tables, functions=self.functions)
        match judged:
            case Refused(reason):
                raise ModelRetry(f"The query was refused: {reason}")
            case Checked(text, read):
                pass
        if not self.execute:
            return SQLQuery(sql=text, explanation=explanation, tables=list(read))
        found: Rows = await info.do("query", self.database.query, text, self.rows, self.seconds)
        if found.error:
            raise ModelRetry(f"The query failed. {as_data('said', found.error)}")
        return SQLAnswer(
            sql=text,
            explanation=explanation,
            tables=list(read),
            columns=list(found.columns),
            rows=[list(row) for row in found.rows],
            truncated=found.truncated,
        )


def _check_output(settings: Mapping[str, object]) -> None:
    if "output_type" in settings:
        raise PipelineError(
            "SQLQueryAgent has no setting output_type: it gives what the database found",
            fix="make something else of it in a step after it",
        )


def _among(tables: Tables, only: frozenset[str]) -> Tables:
    """Return the tables that may be read.

    Raises:
        ConfigError: There is none of a name: a model that is shown nothing would only guess.
    """
    for name in sorted(only):
        if name not in tables:
            close = difflib.get_close_matches(name, tables, n=1, cutoff=0.5)
            raise ConfigError(
                f"SQLQueryAgent, only: there is no table {name!r}",
                fix=f"did you mean {close[0]!r}?" if close else f"there are {', '.join(tables) or 'none'}",
            )
    return {name: columns for name, columns in tables.items() if name in only}


def _seconds(given: float) -> float:
    return seconds(given, "SQLQueryAgent, seconds")

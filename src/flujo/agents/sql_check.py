"""What a query that a model wrote may do: read, from the tables that there are, and nothing else."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import OptimizeError, SqlglotError
from sqlglot.optimizer.normalize_identifiers import normalize_identifiers
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope
from sqlglot.schema import MappingSchema

Tables = Mapping[str, Mapping[str, str]]
"""The columns of each table, with their types, by its name."""

_BEGINNINGS = frozenset({"SELECT", "WITH", "VALUES", "L_PAREN"})
_MORE_THAN_READING = frozenset(
    {
        *("DML", "DDL", "Drop", "Alter", "TruncateTable", "Copy", "LoadData"),  # writes
        *("Attach", "Detach", "Pragma", "Set", "Use", "Kill", "Hint"),  # changes the session or the database
        *("Command", "Describe", "Transaction", "Commit", "Rollback"),  # is another statement
    }
)
_WITHOUT_VALUE = frozenset({"Parameter", "Placeholder", "SessionParameter"})
_FUNCTIONS = Path(__file__).with_name("sql") / "functions.txt"


@dataclass(frozen=True, slots=True)
class Checked:
    """A query that only reads.

    Attributes:
        sql: Its text, written anew from what was understood of it, without comments: what runs is what was
            checked.
        tables: The tables that it reads, sorted.
    """

    sql: str
    tables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A query that may not run.

    Attributes:
        reason: Why, and what would do, for whoever wrote it.
    """

    reason: str


def check_sql(
    sql: str, dialect: str, tables: Tables | None = None, *, functions: Collection[str] = ()
) -> Checked | Refused:
    """Judge a query: whether it is one statement that only reads, from tables and columns that there are.

    Refused are statements that write, lock, or change the session or the database, wherever they stand, a
    ``WITH`` included; several statements; functions that are not known to only compute; and what cannot be
    parsed whole.

    Args:
        sql: The query.
        dialect: Its dialect, as sqlglot names it: ``sqlite``, ``postgres``, ….
        tables: What there is to read; without it names are not checked.
        functions: Functions that may be called besides those that only compute; one of a schema as
            ``schema.name``, for what it does is not known by its name alone.
    """
    try:
        return _judged(sql, dialect, tables, {name.lower() for name in functions})
    except RecursionError:
        return Refused("it is nested too deeply: write it flatter")


def _judged(sql: str, dialect: str, tables: Tables | None, functions: Collection[str]) -> Checked | Refused:
    try:
        tokens = sqlglot.tokenize(sql, read=dialect)
        if not tokens or tokens[0].token_type.name not in _BEGINNINGS:
            said = tokens[0].text.upper() if tokens else "nothing"
            return Refused(f"it begins with {said}: give one statement that begins with SELECT or WITH")
        parsed = [one for one in sqlglot.parse(sql, read=dialect) if not _is_empty(one)]
    except SqlglotError as error:
        return Refused(f"it cannot be read as {dialect}: {_plain(error)}")
    if len(parsed) != 1:
        return Refused(f"it holds {len(parsed)} statements: give exactly one")
    query = parsed[0]
    if not isinstance(query, exp.Query | exp.Values):
        return Refused(f"it is {_called(query)}, and not a query: give one SELECT")
    wrong = next(_forbidden(query, functions), "")
    if wrong:
        return Refused(wrong)
    checked = Checked(query.sql(dialect=dialect, comments=False))
    return checked if tables is None else _against(checked, query, dialect, tables)


def _is_empty(parsed: exp.Expr | None) -> bool:
    """Say whether there is nothing between two semicolons, or nothing but a comment."""
    return parsed is None or isinstance(parsed, exp.Semicolon)


def _forbidden(query: exp.Query | exp.Values, functions: Collection[str]) -> Iterator[str]:
    """Yield why a query may not run, for each part of it that does more than read."""
    schemas: dict[int, str] = {}  # of functions; what a function stands in is walked before it
    for node in query.walk():
        called, schema = _in_schema(node)
        schemas[id(called)] = schema
        kinds = {kind.__name__ for kind in type(node).__mro__}
        if isinstance(node, exp.Into):
            yield "SELECT … INTO makes a table: leave INTO out"
        elif isinstance(node, exp.Lock):
            yield "FOR UPDATE and FOR SHARE lock rows: leave them out"
        elif kinds & _MORE_THAN_READING:
            yield f"{_called(node)} stands in it, and it may only read"
        elif kinds & _WITHOUT_VALUE:
            yield f"{node.sql()} is a parameter without a value: write the value into the query"
        elif isinstance(node, exp.Operator):
            yield "OPERATOR(…) may be anybody's: write the operator alone"
        elif isinstance(node, exp.Func) and not _computes(node, schemas.get(id(node), ""), functions):
            named = filter(None, (schemas.get(id(node)), _name_of(node)))
            yield f"the function {'.'.join(named)} may not be called"


def _in_schema(node: exp.Expr) -> tuple[exp.Func | None, str]:
    """Return the function that is called by a schema's name in front of its own, and that name."""
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Func):
        return node.this, ".".join(filter(None, (node.catalog, node.db))).lower()
    if isinstance(node, exp.Column) and not isinstance(node.this, exp.Identifier | exp.Star):
        schema = ".".join(filter(None, (node.catalog, node.db, node.table))).lower()
        return node.this.find(exp.Func), schema  # an aggregate with a filter or an order
    if isinstance(node, exp.Dot) and not isinstance(node.expression, exp.Identifier | exp.Star):
        return node.expression.find(exp.Func), node.this.sql().replace('"', "").lower()
    return None, ""


def _computes(node: exp.Func, schema: str, functions: Collection[str]) -> bool:
    """Say whether a function is known to do nothing but compute: whoever made a schema made its functions."""
    name = _name_of(node)
    if schema and schema != "pg_catalog":
        return f"{schema}.{name}" in functions
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        return name in _known("names") or name in functions
    return type(node).__name__ in _known("kinds") or name in functions


def _name_of(node: exp.Func) -> str:
    named = isinstance(node, exp.Anonymous | exp.AnonymousAggFunc)
    return (str(node.this) if named else node.sql_name()).lower()


@cache
def _known(section: str) -> frozenset[str]:
    """Return the functions of a section of the list."""
    _, _, rest = _FUNCTIONS.read_text(encoding="utf-8").partition(f"[{section}]\n")
    lines = rest.partition("\n[")[0].splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _called(node: object) -> str:
    return type(node).__name__.upper()


def _against(
    checked: Checked, query: exp.Query | exp.Values, dialect: str, tables: Tables
) -> Checked | Refused:
    """Judge the names in a query by the tables that there are."""
    folds = dialect != "postgres"  # there names are told as they are; elsewhere case may be told otherwise
    known = {(_folded(name, dialect) if folds else name): name for name in tables}
    folded = normalize_identifiers(query.copy(), dialect=dialect)
    read = set[str]()
    try:
        for name, wrong in _tables_of(folded, known):
            if wrong:
                return Refused(wrong)
            read.add(known[name])
    except SqlglotError as error:
        return Refused(f"its tables cannot be found: {_plain(error)}")
    schema = MappingSchema(
        {name: dict(columns) for name, columns in tables.items()}, dialect=dialect, normalize=folds
    )
    try:
        qualify(
            folded,
            dialect=dialect,
            schema=schema,
            expand_stars=False,
            isolate_tables=False,
            quote_identifiers=False,
        )
    except OptimizeError as error:
        return Refused(f"{_plain(error)}. {_columns_of(sorted(read), tables)}")
    except SqlglotError as error:
        return Refused(f"its names cannot be found: {_plain(error)}")
    return Checked(checked.sql, tuple(sorted(read)))


def _folded(name: str, dialect: str) -> str:
    """Return the name of a table as a dialect reads it where it is not quoted."""
    return normalize_identifiers(exp.Table(this=exp.to_identifier(name)), dialect=dialect).name


def _tables_of(query: exp.Query | exp.Values, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each table that a query reads, and what is wrong with it; parts of the query itself are none."""
    seen = set[int]()
    for scope in traverse_scope(query):
        for table in scope.tables:
            seen.add(id(table))
            if isinstance(table.this, exp.Func) or (not table.db and table.name in scope.cte_sources):
                continue
            if table.db or table.catalog:
                yield table.name, f"{table.sql()}: name tables without a schema or a database"
            elif table.name not in known:
                close = difflib.get_close_matches(table.name, known, n=1)
                there_are = f"there are {', '.join(known.values()) or 'none'}"
                listed = f"did you mean {known[close[0]]}?" if close else there_are
                yield table.name, f"there is no table {table.name}: {listed}"
            else:
                yield table.name, ""
    for table in query.find_all(exp.Table):
        if id(table) not in seen and not isinstance(table.this, exp.Func):
            yield table.name, f"the table {table.name} stands where it cannot be checked"


def _columns_of(read: list[str], tables: Tables) -> str:
    listed = "; ".join(f"{name} has {', '.join(tables[name])}" for name in read)
    return f"Of the tables, {listed}" if listed else "It reads no table"


def _plain(error: SqlglotError) -> str:
    """Return what a parser said, without the codes that underline it in a terminal."""
    return str(error).replace("\x1b[4m", "").replace("\x1b[0m", "").strip().rstrip(".")


def known_dialect(name: str) -> bool:
    """Say whether sqlglot knows a dialect by this name."""
    return Dialect.get(name) is not None

"""What a model's SQL may do, and what it does: on a real SQLite and a real PostgreSQL."""

import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from flujo.agents.sql_check import Checked, Refused, check_sql, known_dialect
from flujo.agents.sql_run import LARGEST, PostgresDatabase, Rows, SQLiteDatabase, database_of
from flujo.errors import ConfigError
from tests import postgres

TABLES = {
    "orders": {"id": "INT", "amount": "DECIMAL", "customer_id": "INT"},
    "customers": {"id": "INT", "name": "TEXT"},
}

ATTACKS = [
    ("sqlite", "select 1; drop table orders", "2 statements"),
    ("sqlite", "select 1 /* ; */ ; -- x\n delete from orders", "statements"),
    ("postgres", "select id from orders; ; select 1", "2 statements"),
    ("sqlite", "", "begins with nothing"),
    ("sqlite", "  -- only a comment", "begins with nothing"),
    ("sqlite", "select 'a", "cannot be read"),
    ("sqlite", "PRAGMA table_info(orders)", "begins with PRAGMA"),
    ("sqlite", "ATTACH 'x' AS y", "begins with ATTACH"),
    ("sqlite", "VACUUM INTO '/tmp/x'", "begins with VACUUM"),
    ("sqlite", "REPLACE INTO orders VALUES (1)", "begins with REPLACE"),
    ("postgres", "COPY orders TO PROGRAM 'sh'", "begins with COPY"),
    ("postgres", "EXPLAIN ANALYZE DELETE FROM orders", "begins with EXPLAIN"),
    ("postgres", "DO $$ BEGIN DELETE FROM orders; END $$", "begins with DO"),
    ("postgres", "CALL f()", "begins with CALL"),
    ("postgres", "BEGIN; SELECT 1", "begins with BEGIN"),
    ("postgres", "GRANT ALL ON orders TO x", "begins with GRANT"),
    ("postgres", "TABLE orders", "begins with TABLE"),
    ("postgres", "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d", "DELETE stands in it"),
    (
        "postgres",
        "WITH d AS (INSERT INTO orders VALUES (1) RETURNING *) SELECT * FROM d",
        "INSERT stands in it",
    ),
    (
        "postgres",
        "SELECT 1 WHERE EXISTS (WITH x AS (UPDATE orders SET id = 1 RETURNING id) SELECT 1 FROM x)",
        "UPDATE stands in it",
    ),
    ("postgres", "WITH x AS (SELECT 1) DELETE FROM orders", "it is DELETE"),
    ("postgres", "SELECT * INTO copied FROM orders", "INTO"),
    ("mysql", "SELECT 1 INTO OUTFILE '/tmp/x'", "cannot be read"),
    ("postgres", "SELECT * FROM orders FOR UPDATE", "FOR UPDATE"),
    ("postgres", "SELECT pg_sleep(1)", "pg_sleep may not be called"),
    ("postgres", 'SELECT "pg_sleep"(1)', "may not be called"),
    ("postgres", "SELECT pg_catalog.pg_sleep(1)", "pg_sleep may not be called"),
    ("postgres", "SELECT evil.abs(1)", "evil.abs may not be called"),
    ("postgres", 'SELECT a."Evil".abs(1)', "a.evil.abs may not be called"),
    ("postgres", "SELECT evil.mode() WITHIN GROUP (ORDER BY id) FROM orders", "evil.mode may not be called"),
    ("postgres", "SELECT evil.sum(id) FILTER (WHERE id > 1) FROM orders", "evil.sum may not be called"),
    ("postgres", "SELECT evil.sum(id) OVER () FROM orders", "evil.sum may not be called"),
    ("postgres", "SELECT * FROM evil.json_each('{}')", "evil.json_each may not be called"),
    ("postgres", "SELECT 1 OPERATOR(evil.+) 2", "OPERATOR"),
    ("sqlite", f"SELECT {'(' * 3000}1{')' * 3000}", "nested too deeply"),
    ("sqlite", "(1) UNION (SELECT 2)", "its tables cannot be found"),
    ("postgres", "VALUES (pg_sleep(1))", "pg_sleep may not be called"),
    ("postgres", "SELECT * FROM orders LIMIT (SELECT pg_sleep(1)::int)", "pg_sleep may not be called"),
    ("postgres", "SELECT * FROM ROWS FROM (pg_ls_dir('/'))", "pg_ls_dir may not be called"),
    ("postgres", "SELECT a.id FROM orders a JOIN LATERAL (SELECT lo_import('x')) x ON true", "lo_import"),
    ("postgres", "SELECT nextval('s')", "nextval may not be called"),
    ("postgres", "SELECT set_config('a', 'b', false)", "set_config may not be called"),
    ("postgres", "SELECT query_to_xml('DELETE FROM orders', true, true, '')", "query_to_xml"),
    ("postgres", "SELECT * FROM generate_series(1, 1000000000)", "may not be called"),
    ("postgres", "SELECT format('%1000000000s', 'a')", "format may not be called"),
    ("sqlite", "SELECT load_extension('x')", "load_extension may not be called"),
    ("sqlite", "SELECT * FROM pragma_table_info('orders')", "pragma_table_info may not be called"),
    ("sqlite", "SELECT randomblob(100000000)", "randomblob may not be called"),
    ("duckdb", "SELECT * FROM read_csv('/etc/passwd')", "read_csv may not be called"),
    ("duckdb", "SELECT * FROM '/etc/passwd'", "no table"),
    ("sqlite", "SELECT * FROM sqlite_master", "no table sqlite_master"),
    ("sqlite", "SELECT (WITH sqlite_master AS (SELECT 1) SELECT 1), * FROM sqlite_master", "no table"),
    ("sqlite", "WITH sqlite_master AS (SELECT 1 AS a) SELECT * FROM main.sqlite_master", "without a schema"),
    ("postgres", "SELECT * FROM pg_catalog.pg_shadow", "without a schema"),
    ("postgres", "SELECT * FROM orders WHERE id = $1", "parameter"),
    ("sqlite", "SELECT ?", "parameter"),
    ("sqlite", "SELECT nope FROM orders", "'nope' could not be resolved"),
    ("sqlite", "SELECT c.amount FROM orders o JOIN customers c ON c.id = o.customer_id", "amount"),
    ("sqlite", "SELECT id FROM orders, customers", "could not be resolved"),
    ("sqlite", "SELECT * FROM order_s", "did you mean orders?"),
    ("postgres", 'SELECT * FROM "Orders"', "no table Orders"),
]


@pytest.mark.parametrize(("dialect", "sql", "said"), ATTACKS, ids=[sql[:40] for _, sql, _ in ATTACKS])
def test_what_does_more_than_read_is_refused(dialect: str, sql: str, said: str) -> None:
    judged = check_sql(sql, dialect, TABLES)
    assert isinstance(judged, Refused)
    assert said in judged.reason


QUERIES: list[tuple[str, str, list[str]]] = [
    ("sqlite", "SELECT id, amount FROM orders;", ["orders"]),
    ("sqlite", "SELECT Name FROM CUSTOMERS WHERE name GLOB 'a*'", ["customers"]),
    ("sqlite", "SELECT strftime('%Y', 'now'), iif(id > 1, 'a', 'b') FROM orders", ["orders"]),
    ("sqlite", "(SELECT id FROM orders) UNION ALL SELECT id FROM customers", ["customers", "orders"]),
    ("postgres", "WITH r AS (SELECT id FROM orders) SELECT count(*) FROM r", ["orders"]),
    ("postgres", "WITH orders AS (SELECT 1 AS one) SELECT one FROM orders", []),
    (
        "postgres",
        "SELECT date_trunc('month', now()), extract(year FROM current_date), amount::int FROM orders LIMIT 3",
        ["orders"],
    ),
    ("postgres", "VALUES (1), (2)", []),
    ("postgres", "SELECT pg_catalog.lower('A'); -- that is all", []),
    ("snowflake", "SELECT name FROM Customers", ["customers"]),
    ("oracle", "SELECT c.name FROM customers c", ["customers"]),
    (
        "postgres",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n",
        [],
    ),
    (
        "postgres",
        "SELECT (SELECT name FROM customers c WHERE c.id = o.customer_id) FROM orders o WHERE o.id IN (1, 2)",
        ["customers", "orders"],
    ),
    (
        "postgres",
        """SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount), count(*) FILTER (WHERE id > 1)
           FROM orders GROUP BY ROLLUP(customer_id) HAVING count(*) > 1""",
        ["orders"],
    ),
]


@pytest.mark.parametrize(("dialect", "sql", "tables"), QUERIES, ids=[sql[:40] for _, sql, _ in QUERIES])
def test_what_only_reads_may_run(dialect: str, sql: str, tables: list[str]) -> None:
    judged = check_sql(sql, dialect, TABLES)
    assert isinstance(judged, Checked), judged
    assert list(judged.tables) == tables


def test_what_runs_is_what_was_understood() -> None:
    """A comment that some database runs is gone from the text that is run."""
    judged = check_sql("SELECT 1 /*! INTO OUTFILE '/tmp/x' */ -- DROP TABLE orders", "mysql", TABLES)
    assert judged == Checked("SELECT 1")


EXPRESSIONS = Path(__file__).with_name("expressions")


def rewritten(dialect: str) -> list[tuple[str, str]]:
    """Return queries as a model may write them, and as they are written anew."""
    pairs: list[tuple[str, str]] = []
    for line in (EXPRESSIONS / f"{dialect}.txt").read_text(encoding="utf-8").splitlines():
        judged = check_sql(f"SELECT {line}", dialect, {})
        assert isinstance(judged, Checked), (line, judged)
        pairs.append((f"SELECT {line}", judged.sql))
    return pairs


def test_what_runs_means_the_same_on_sqlite() -> None:
    connection = sqlite3.connect(":memory:")
    for given, run in rewritten("sqlite"):
        assert connection.execute(run).fetchall() == connection.execute(given).fetchall(), (given, run)
    connection.close()


async def test_what_runs_means_the_same_on_postgres() -> None:
    with postgres.schema() as url:
        connection = await asyncpg.connect(url)
        for given, run in rewritten("postgres"):
            before, now = await connection.fetch(given), await connection.fetch(run)
            assert [tuple(row) for row in now] == [tuple(row) for row in before], (given, run)
        await connection.close()


def test_functions_that_are_named_may_be_called() -> None:
    assert isinstance(check_sql("SELECT my_rate(1)", "postgres", functions=["My_Rate"]), Checked)


def test_a_function_of_a_schema_is_named_with_it() -> None:
    sql = "SELECT fees.abs(1), * FROM fees.rates(2)"
    assert isinstance(check_sql(sql, "postgres", functions=["Fees.abs", "fees.rates"]), Checked)
    assert isinstance(check_sql(sql, "postgres", functions=["abs", "rates"]), Refused)


@pytest.mark.parametrize("dialect", ["bigquery", "mysql", "oracle", "postgres", "snowflake", "sqlite"])
def test_a_table_is_found_as_its_dialect_tells_names_apart(dialect: str) -> None:
    name = '"Customers"' if dialect == "postgres" else "Customers"
    judged = check_sql(f"SELECT 1 FROM {name}", dialect, {"Customers": {"id": "INT"}})
    assert isinstance(judged, Checked), judged
    assert judged.tables == ("Customers",)


def test_without_tables_names_are_not_checked() -> None:
    assert isinstance(check_sql("SELECT anything FROM anywhere", "sqlite"), Checked)


def test_dialects() -> None:
    assert known_dialect("postgres")
    assert not known_dialect("postgrex")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop ?#.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(
            """
            CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(10, 2), customer_id INT, note BLOB);
            CREATE VIEW big AS SELECT id FROM orders WHERE amount > 10;
            INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob');
            INSERT INTO orders VALUES (1, 12.5, 1, x'00ff'), (2, 3, 1, NULL), (3, 40, 2, NULL);
            """
        )
    connection.close()
    return path


class TestSQLite:
    async def test_it_tells_what_there_is(self, shop: Path) -> None:
        assert await SQLiteDatabase(shop).tables() == {
            "big": {"id": "INTEGER"},
            "customers": {"id": "INTEGER", "name": "TEXT"},
            "orders": {"id": "INTEGER", "amount": "DECIMAL(10, 2)", "customer_id": "INT", "note": "BLOB"},
        }

    async def test_it_tells_computed_columns_too(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "computed.db") as connection:
            connection.execute("CREATE TABLE t (a INT, b INT AS (a * 2), c INT AS (a * 3) STORED)")
        connection.close()
        told = await SQLiteDatabase(tmp_path / "computed.db").tables()
        assert told == {"t": {"a": "INT", "b": "INT", "c": "INT"}}

    async def test_a_connection_may_give_its_rows_otherwise(self, shop: Path) -> None:
        def opened() -> sqlite3.Connection:
            connection = sqlite3.connect(shop)
            connection.row_factory = lambda cursor, row: {"first": row[0]}
            connection.text_factory = bytes
            return connection

        database = SQLiteDatabase(opened)
        assert await database.tables() == await SQLiteDatabase(shop).tables()
        assert (await database.query("SELECT id, name FROM customers", 1, 5)).rows == ((1, "Ada"),)

    async def test_rows_are_json_and_limited(self, shop: Path) -> None:
        database = SQLiteDatabase(shop)
        assert await database.query("SELECT id, amount, note FROM orders ORDER BY id", 2, 5) == Rows(
            ("id", "amount", "note"), ((1, 12.5, "00ff"), (2, 3, None)), truncated=True
        )
        assert not (await database.query("SELECT id FROM orders", 3, 5)).truncated

    async def test_an_answer_holds_no_more_than_it_may(self, shop: Path) -> None:
        text = f"SELECT printf('%.{LARGEST // 2 - 50}c', 'x') FROM orders"
        found = await SQLiteDatabase(shop).query(text, 3, 5)
        assert (len(found.rows), found.truncated, found.error) == (2, True, "")
        found = await SQLiteDatabase(shop).query(f"SELECT printf('%.{LARGEST}c', 'x') FROM orders", 3, 5)
        assert (found.rows, found.truncated) == ((), False)
        assert found.error.startswith("its first row alone has more than 1000000 bytes; select fewer columns")

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM orders",
            "CREATE TABLE t (a)",
            "PRAGMA query_only = OFF",
            "ATTACH 'x.db' AS x",
            "SELECT * FROM sqlite_master",
            "SELECT load_extension('x')",
            "VACUUM INTO 'copy.db'",
        ],
    )
    @pytest.mark.parametrize("opened", [False, True], ids=["path", "function"])
    async def test_it_cannot_write_whatever_is_asked(self, shop: Path, sql: str, opened: bool) -> None:
        """What the check lets through by mistake, the database refuses."""
        database = SQLiteDatabase((lambda: sqlite3.connect(shop)) if opened else shop)
        before = shop.read_bytes()
        assert (await database.query(sql, 10, 5)).error
        assert shop.read_bytes() == before
        assert list(shop.parent.glob("*.db")) == [shop]

    async def test_a_query_has_its_time(self, shop: Path) -> None:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
        began = time.monotonic()
        found = await SQLiteDatabase(shop).query(endless, 10, 0.2)
        assert found == Rows(error="it took longer than 0.2 seconds")
        assert time.monotonic() - began < 5

    async def test_a_value_cannot_fill_the_memory(self, shop: Path) -> None:
        assert "too big" in (await SQLiteDatabase(shop).query("SELECT zeroblob(1000000000)", 1, 5)).error

    async def test_a_file_that_is_not_there_is_not_made(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            await SQLiteDatabase(tmp_path / "none.db").tables()
        assert not list(tmp_path.iterdir())


@pytest.fixture
async def url() -> AsyncIterator[str]:
    with postgres.schema() as url:
        await postgres.execute(
            url,
            "CREATE TABLE customers (id int PRIMARY KEY, name text)",
            'CREATE TABLE "Orders" (id int, amount numeric(10, 2), at timestamptz, tags text[], key uuid)',
            "INSERT INTO customers VALUES (1, 'Ada'), (2, 'Bob')",
            """INSERT INTO "Orders" VALUES (1, 12.50, '2026-01-02T03:04:05Z', '{a,b}',
               '00000000-0000-0000-0000-000000000001')""",
            "CREATE SEQUENCE numbers",
        )
        yield url


class TestPostgres:
    async def test_it_tells_what_there_is(self, url: str) -> None:
        assert await PostgresDatabase(url).tables() == {
            "Orders": {
                "id": "integer",
                "amount": "numeric(10,2)",
                "at": "timestamp with time zone",
                "tags": "text[]",
                "key": "uuid",
            },
            "customers": {"id": "integer", "name": "text"},
        }

    @pytest.mark.parametrize("sql", ["SELECT t FROM prices AS t", "SELECT DATE '4713-01-01 BC'"])
    async def test_what_cannot_be_read_goes_back(self, url: str, sql: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE prices (price MONEY); INSERT INTO prices VALUES (1)")
        await connection.close()
        assert "cast it to text" in (await PostgresDatabase(url).query(sql, 5, 5)).error

    async def test_rows_are_json_and_limited(self, url: str) -> None:
        database = PostgresDatabase(url)
        judged = check_sql('SELECT * FROM "Orders"', "postgres", await database.tables())
        assert isinstance(judged, Checked)
        found = await database.query(judged.sql, 5, 5)
        assert found.columns == ("id", "amount", "at", "tags", "key")
        assert found.rows == (
            (1, "12.50", "2026-01-02T03:04:05+00:00", ["a", "b"], "00000000-0000-0000-0000-000000000001"),
        )
        assert (await database.query("SELECT id FROM customers ORDER BY id", 1, 5)).truncated
        numbers = await database.query("SELECT n FROM generate_series(1, 100) AS n", 100, 5)
        assert (numbers.rows, numbers.truncated) == (tuple((n,) for n in range(1, 101)), False)

    async def test_an_answer_holds_no_more_than_it_may(self, url: str) -> None:
        text = f"SELECT repeat('x', {LARGEST // 2 - 50}) FROM generate_series(1, 1000)"
        found = await PostgresDatabase(url).query(text, 1000, 5)
        assert (len(found.rows), found.truncated) == (2, True)
        alone = await PostgresDatabase(url).query(f"SELECT repeat('x', {LARGEST})", 1, 5)
        assert "its first row alone" in alone.error

    async def test_the_time_limit_is_that_of_all_rows(self, url: str) -> None:
        found = await PostgresDatabase(url).query(
            "SELECT pg_sleep(0.02) FROM generate_series(1, 500)", 500, 1
        )
        assert found.error == "it took longer than 1 seconds"

    @pytest.mark.parametrize(
        "sql",
        [
            "DELETE FROM customers",
            "SELECT nextval('numbers')",
            "SELECT * INTO copied FROM customers",
            "WITH d AS (DELETE FROM customers RETURNING *) SELECT * FROM d",
            "SELECT 1; DELETE FROM customers",
            "SELECT * FROM customers FOR UPDATE",
        ],
    )
    async def test_it_cannot_write_whatever_is_asked(self, url: str, sql: str) -> None:
        database = PostgresDatabase(url)
        assert (await database.query(sql, 10, 5)).error
        assert len((await database.query("SELECT * FROM customers", 10, 5)).rows) == 2

    async def test_a_query_has_its_time(self, url: str) -> None:
        found = await PostgresDatabase(url).query("SELECT pg_sleep(30)", 1, 0.2)
        assert found == Rows(error="it took longer than 0.2 seconds")

    async def test_what_the_database_says_goes_back(self, url: str) -> None:
        assert "does not exist" in (await PostgresDatabase(url).query("SELECT nope", 1, 5)).error


def test_a_database_is_named_by_what_it_is(tmp_path: Path) -> None:
    assert isinstance(database_of("postgresql://localhost/x"), PostgresDatabase)
    assert isinstance(database_of("shop.db"), SQLiteDatabase)
    assert isinstance(database_of(tmp_path), SQLiteDatabase)
    assert isinstance(database_of(lambda: sqlite3.connect(":memory:")), SQLiteDatabase)
    mine = SQLiteDatabase(tmp_path)
    assert database_of(mine) is mine
    with pytest.raises(ConfigError, match="no database"):
        database_of(5)

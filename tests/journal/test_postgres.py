"""What only the PostgreSQL store does: its connection, its tables, and its words when the server is away."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from flujo.errors import ConfigError, RunTaken, StoreCorrupt, StoreUnavailable, StoreVersionError
from flujo.journal.ledger import Balance, Claim, Reserve, Settle, Shortfall
from flujo.journal.postgres import PostgresStore
from flujo.journal.scripts import migrations
from flujo.journal.store import StatusChange
from tests.journal.scribe import Scribe, payload
from tests.postgres import execute, schema, server_url

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url() -> Generator[str]:
    with schema() as url:
        yield url


class Proxy:
    """Stands between a store and the server, and cuts the connection when told.

    ``lose_answers`` cuts the connection when the server has answered, and swallows the answer: the statement
    was carried out, and the client does not know. ``lose_requests`` cuts before the server hears of it;
    ``away`` cuts whatever comes.
    """

    def __init__(self) -> None:
        self.lose_answers = False
        self.lose_requests = False
        self.away = False
        self.cuts = 0
        self._open: set[asyncio.Task[Any]] = set()

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = _address()
        if host.startswith("/"):
            there = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        else:
            there = await asyncio.open_connection(host, port)
        passing = asyncio.current_task()
        assert passing is not None
        self._open.add(passing)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there[1], writer, answers=False))
                both.create_task(self._pass(there[0], writer, there[1], answers=True))
        finally:
            for end in (there[1], writer):
                end.close()
                with suppress(OSError):
                    await end.wait_closed()
            self._open.discard(passing)

    async def _pass(
        self,
        source: asyncio.StreamReader,
        into: asyncio.StreamWriter,
        other: asyncio.StreamWriter,
        *,
        answers: bool,
    ) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                if self.away or (self.lose_answers if answers else self.lose_requests):
                    self.cuts += 1
                    self.lose_answers = self.lose_requests = False
                    break
                into.write(data)
                await into.drain()
        into.close()
        other.close()

    @asynccontextmanager
    async def url(self, url: str) -> AsyncGenerator[str]:
        """Yield the URL that leads through here."""
        server = await asyncio.start_server(self._between, "127.0.0.1")
        port = server.sockets[0].getsockname()[1]
        parts = urlsplit(url)
        user = f"{parts.username}:{parts.password or ''}@" if parts.username else ""
        path = parse_qs(parts.query)["search_path"][0]
        try:
            yield f"postgresql://{user}127.0.0.1:{port}{parts.path}?search_path={path}&sslmode=disable"
        finally:
            server.close()
            for passing in self._open:
                passing.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)


def _address() -> tuple[str, int]:
    parts = urlsplit(server_url())
    folder = parse_qs(parts.query).get("host", [""])[0]
    return folder or parts.hostname or "127.0.0.1", parts.port or 5432


class TestLostConnections:
    async def test_a_commit_whose_answer_was_lost_is_acknowledged_once(self, url: str) -> None:
        proxy, scribe = Proxy(), Scribe()
        async with proxy.url(url) as through:
            store = PostgresStore(through)
            await store.submit(scribe.begin())
            proxy.lose_answers = True
            await store.submit(scribe.batch(payloads=[payload(b"large")]))
            await store.submit(scribe.batch())
            assert proxy.cuts == 1
            assert [event.seq for event in await store.events("run-1")] == [1, 2, 3]
            assert await store.live_events("run-1")
            await store.close()

    async def test_a_commit_that_never_arrived_is_sent_again(self, url: str) -> None:
        proxy, scribe = Proxy(), Scribe()
        async with proxy.url(url) as through:
            store = PostgresStore(through)
            await store.submit(scribe.begin())
            proxy.lose_requests = True
            await asyncio.gather(store.submit(scribe.batch()), store.submit(scribe.batch()))
            assert proxy.cuts == 1
            assert [event.seq for event in await store.events("run-1")] == [1, 2, 3]
            await store.close()

    async def test_a_run_taken_meanwhile_is_refused_and_others_are_not(self, url: str) -> None:
        proxy, scribe, other = Proxy(), Scribe(), Scribe("run-2")
        async with proxy.url(url) as through:
            store, second = PostgresStore(through), PostgresStore(url)
            await store.submit(scribe.begin())
            await store.submit(other.begin())
            heir = scribe.heir("the heir")
            proxy.lose_requests = True
            await second.submit(heir.batch())
            ours, theirs = store.submit(scribe.batch()), store.submit(other.batch())
            with pytest.raises(RunTaken):
                await ours
            await theirs
            assert (await store.events("run-1"))[-1].hash == heir.head
            await store.close()
            await second.close()

    async def test_what_was_missing_is_found_out_again(self, url: str) -> None:
        """Of a commit whose answer was lost, also which of its reservations were made."""
        proxy, scribe, other = Proxy(), Scribe(), Scribe("run-2")
        made, refused = (Reserve("a@1", [Claim("tenant:acme", "usd", amount, 10)]) for amount in (7, 4))
        async with proxy.url(url) as through:
            store = PostgresStore(through)
            await store.submit(scribe.begin())
            await store.submit(other.begin())
            proxy.lose_answers = True
            told = await asyncio.gather(
                store.submit(scribe.batch()._replace(ledger=[made])),
                store.submit(other.batch()._replace(ledger=[refused])),
            )
            assert proxy.cuts == 1
            assert told == [(), (Shortfall("a@1", "tenant:acme", "usd", 10, 0, 7, 4),)]
            proxy.lose_answers = True
            assert await store.submit(scribe.batch()._replace(ledger=[Settle("a@1", {"usd": 5})])) == ()
            assert await store.balances() == [Balance("tenant:acme", "usd", 10, 5, 0)]
            await store.close()

    async def test_an_ended_session_is_replaced(self, url: str) -> None:
        store, scribe = PostgresStore(url), Scribe()
        await store.submit(scribe.begin())
        assert await store.run("run-1")
        await execute(
            server_url(),
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'flujo'",
        )
        await store.submit(scribe.batch())
        assert len(await store.events("run-1")) == 2
        await store.close()

    async def test_what_could_not_be_written_may_be_submitted_again(self, url: str) -> None:
        proxy, scribe = Proxy(), Scribe()
        async with proxy.url(url) as through:
            store = PostgresStore(through, patience=0.2)
            await store.submit(scribe.begin())
            proxy.away = True
            batch = scribe.batch()
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await store.submit(batch)
            proxy.away = False
            await store.submit(batch)
            assert len(await store.events("run-1")) == 2
            await store.close()


async def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class TestWhatIsSaid:
    async def test_a_server_that_is_not_there(self) -> None:
        port = await unused_port()
        store = PostgresStore(f"postgresql://ann:hush@127.0.0.1:{port}/journals", patience=0.2)
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}/journals cannot be reached") as caught:
            await store.submit(Scribe().begin())
        assert caught.value.fix
        with pytest.raises(StoreUnavailable) as reading:
            await store.run("run-1")
        await store.close()
        assert "hush" not in f"{caught.value!r}{reading.value!r}{store!r}{caught.value.__cause__!r}"

    async def test_a_database_that_is_not_there(self) -> None:
        store = PostgresStore(urlsplit(server_url())._replace(path="/nowhere").geturl())
        with pytest.raises(StoreUnavailable, match="nowhere") as caught:
            await store.run("run-1")
        assert "create the database" in caught.value.fix
        await store.close()

    @pytest.mark.parametrize(
        "wrong",
        ["flujo_ops.db", "mysql://here/db", "postgresql://ann:hush@here:port/db", "postgresql://[/db"],
    )
    def test_what_is_no_url(self, wrong: str) -> None:
        with pytest.raises(ConfigError) as caught:
            PostgresStore(wrong)
        assert "hush" not in repr(caught.value)
        assert "postgresql://" in caught.value.fix

    async def test_a_newer_store(self, url: str) -> None:
        store = PostgresStore(url)
        assert await store.run("run-1") is None
        await store.close()
        await execute(url, "INSERT INTO flujo_schema (version) VALUES (99)")
        newer = PostgresStore(url)
        with pytest.raises(StoreVersionError, match="version 99"):
            await newer.run("run-1")
        with pytest.raises(StoreVersionError, match="version 99"):
            await newer.submit(Scribe().begin())
        await newer.close()

    async def test_tables_of_another_application(self, url: str) -> None:
        await execute(url, "CREATE TABLE runs (id integer)")
        store = PostgresStore(url)
        with pytest.raises(StoreCorrupt, match="another application"):
            await store.submit(Scribe().begin())
        await store.close()
        assert (
            await asyncpg_value(url, "SELECT count(*) FROM pg_tables WHERE tablename = 'flujo_schema'") == 0
        )

    async def test_what_no_column_can_hold_fails_alone(self, url: str) -> None:
        store, good, bad = PostgresStore(url), Scribe("good"), Scribe("bad\0")
        both = [store.submit(good.begin()), store.submit(bad.begin())]
        found = await asyncio.gather(*both, return_exceptions=True)
        assert found[0] == ()
        assert "cannot be stored" in str(found[1])
        assert await store.run("bad\0") is None
        assert await store.run("good")
        await store.close()


async def asyncpg_value(url: str, query: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


class TestTables:
    async def test_many_processes_make_them_once(self, url: str) -> None:
        stores = [PostgresStore(url) for _ in range(6)]
        await asyncio.gather(*(store.submit(Scribe(f"run-{at}").begin()) for at, store in enumerate(stores)))
        versions = await asyncpg_value(url, "SELECT array_agg(version ORDER BY version) FROM flujo_schema")
        assert versions == list(range(1, len(migrations("postgres")) + 1))
        await asyncio.gather(*(store.close() for store in stores))

    async def test_a_change_of_a_run_without_record_is_undone_whole(self, url: str) -> None:
        store, scribe = PostgresStore(url), Scribe()
        await store.submit(scribe.begin())
        await execute(url, "DELETE FROM runs")
        with pytest.raises(Exception, match="no record to change"):
            await store.submit(scribe.batch(change=StatusChange("paused")))
        assert len(await store.events("run-1")) == 1
        await store.close()

    async def test_commits_are_synced_though_the_role_says_otherwise(self, url: str) -> None:
        asked = "SELECT setting FROM pg_settings WHERE name = 'synchronous_commit'"
        store = PostgresStore(f"{url}&synchronous_commit=off")
        home = store._open()  # pyright: ignore[reportPrivateUsage]
        rows = await home.do(home.fetch(asked, ()))
        assert rows == [("on",)]
        await store.close()


FORGETS = """
import asyncio, sys
from flujo.journal.postgres import PostgresStore
from tests.journal.scribe import Scribe
async def main():
    store, scribe = PostgresStore(sys.argv[1]), Scribe()
    store.submit(scribe.begin())
    for _ in range(50):
        store.submit(scribe.batch())
asyncio.run(main())
"""


async def test_a_process_that_forgets_to_close_still_commits_and_ends(url: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", FORGETS, url],
        cwd=ROOT,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    store = PostgresStore(url)
    assert len(await store.events("run-1")) == 51
    await store.close()

-- Every statement the PostgreSQL store runs on its tables. A line `-- name: x` begins the query x.


-- name: lock_schema
-- Held until the end of the transaction: one process at a time makes or migrates the tables.
SELECT pg_advisory_xact_lock(7386925432199310441)

-- name: has_schema
-- Read from the catalog's table: the look-up of a name would not see what was made while the lock was awaited.
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'flujo_schema')

-- name: make_schema
CREATE TABLE flujo_schema (version integer NOT NULL)

-- name: schema_version
SELECT coalesce(max(version), 0) FROM flujo_schema

-- name: note_version
INSERT INTO flujo_schema (version) VALUES ($1)

-- name: append_event
-- One step of one run.
INSERT INTO events (run_id, seq, kind, address, at, body, hash) VALUES ($1, $2, $3, $4, $5, $6, $7)

-- name: append_events
-- Events only, as most commits are. Fails as a whole on the primary key when another writer was first.
INSERT INTO events (run_id, seq, kind, address, at, body, hash)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[])

-- name: commit
-- Everything a group of batches holds, in one statement and so in one transaction and one round trip.
-- A change of a run that has no record divides by zero, which undoes all of it. Returns what was missing for
-- reservations.
WITH appended AS (
    INSERT INTO events (run_id, seq, kind, address, at, body, hash)
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $7::bytea[])
), created AS (
    INSERT INTO runs (run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash)
    SELECT * FROM unnest(
        $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::bigint[],
        $15::bigint[], $16::bytea[]
    )
), changed AS (
    UPDATE runs SET status = n.status, owner = n.owner, updated_at = n.updated_at, seq = n.seq, hash = n.hash
    FROM unnest($17::text[], $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::bytea[])
        AS n (run_id, status, owner, updated_at, seq, hash)
    WHERE runs.run_id = n.run_id
    RETURNING runs.run_id
), kept AS (
    INSERT INTO payloads (digest, bytes) SELECT * FROM unnest($23::bytea[], $24::bytea[])
    ON CONFLICT (digest) DO NOTHING
), remembered AS (
    INSERT INTO cache (key, value) SELECT * FROM unnest($25::text[], $26::bytea[])
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
)
SELECT
    1 / CASE WHEN count(*) = cardinality($17::text[]) THEN 1 ELSE 0 END,
    CASE WHEN $27::jsonb IS NOT NULL THEN flujo_keep_accounts($27::jsonb) END
FROM changed

-- name: ends
-- Where each run's journal ends, and with which hash.
SELECT wanted.run_id, last.seq, last.hash
FROM unnest($1::text[]) AS wanted (run_id)
CROSS JOIN LATERAL (
    SELECT seq, hash FROM events WHERE events.run_id = wanted.run_id ORDER BY seq DESC LIMIT 1
) AS last

-- name: event_hash
SELECT hash FROM events WHERE run_id = $1 AND seq = $2

-- name: events_after
SELECT run_id, seq, kind, address, at, body, hash FROM events
WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3

-- name: events_before
-- From the newest back: what a composite covers comes after it.
SELECT run_id, seq, kind, address, at, body, hash FROM events
WHERE run_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3

-- name: run
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash FROM runs WHERE run_id = $1

-- name: runs
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash
FROM runs
WHERE created_at >= $1 AND created_at < $2 AND (created_at, run_id) < ($3::bigint, $4::text COLLATE "C")
  AND ($5::text = '' OR pipeline = $5)
  AND $6::text = ''
  AND ($7::text = '' OR starts_with(run_id, $7))
ORDER BY created_at DESC, run_id DESC LIMIT $8

-- name: runs_by_status
-- One status at a time, so that the few runs that wait are found among the many that ended.
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash
FROM runs
WHERE status = $6
  AND created_at >= $1 AND created_at < $2 AND (created_at, run_id) < ($3::bigint, $4::text COLLATE "C")
  AND ($5::text = '' OR pipeline = $5)
  AND ($7::text = '' OR starts_with(run_id, $7))
ORDER BY created_at DESC, run_id DESC LIMIT $8

-- name: orphans
-- Ids of events that no record names. One look into the index for each run, not one for each event.
WITH RECURSIVE ids (run_id) AS (
    SELECT min(run_id) FROM events
    UNION ALL
    SELECT (SELECT min(events.run_id) FROM events WHERE events.run_id > ids.run_id) FROM ids
    WHERE ids.run_id IS NOT NULL
)
SELECT run_id FROM ids
WHERE run_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = ids.run_id)

-- name: payload
SELECT bytes FROM payloads WHERE digest = $1

-- name: cached
SELECT value FROM cache WHERE key = $1

-- name: has_queue
-- Whether the tables of Procrastinate were made in this schema.
SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'procrastinate_jobs')

-- name: enqueue
-- One job carries one run on. Those for now hold the run's lock, so that one worker has it at a time; one that
-- is for later must not keep others waiting, and holds none. Who waits already, for the same run and time, is enough;
-- it is touched, so that no worker takes it before this transaction, and what it tells of, is committed.
INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args, scheduled_at)
SELECT
    queue,
    'flujo.carry_on',
    priority,
    CASE WHEN due = 0 THEN run_id END,
    CASE WHEN due = 0 THEN run_id ELSE run_id || '@' || due END,
    jsonb_build_object('run_id', run_id, 'tenant', tenant),
    CASE WHEN due > 0 THEN timestamptz 'epoch' + due * interval '1 microsecond' END
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::int[], $5::text[]) AS job (run_id, queue, due, priority, tenant)
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO UPDATE SET args = procrastinate_jobs.args

-- name: keep_signals
INSERT INTO signals (id, run_id, name, at, payload)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[])
ON CONFLICT (id) DO NOTHING

-- name: receive_signals
DELETE FROM signals WHERE id = ANY ($1::text[])

-- name: signals
SELECT id, run_id, name, at, payload FROM signals WHERE run_id = $1 ORDER BY at, id

-- name: job_counts
-- By queue: due, for later, in hand.
SELECT
    queue_name,
    count(*) FILTER (WHERE status = 'todo' AND coalesce(scheduled_at, now()) <= now()),
    count(*) FILTER (WHERE status = 'todo' AND scheduled_at > now()),
    count(*) FILTER (WHERE status = 'doing')
FROM procrastinate_jobs WHERE task_name = 'flujo.carry_on' GROUP BY queue_name ORDER BY queue_name

-- name: workers
-- Who looks for jobs, how long ago each was heard of, and how many jobs each has in hand.
SELECT
    worker.id::text,
    extract(epoch FROM now() - worker.last_heartbeat)::float8,
    (SELECT count(*) FROM procrastinate_jobs AS job WHERE job.worker_id = worker.id AND job.status = 'doing')
FROM procrastinate_workers AS worker ORDER BY worker.id

-- name: put_schedule
INSERT INTO schedules (name, pipeline, next, spec) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING name

-- name: schedules
SELECT name, pipeline, next, spec FROM schedules ORDER BY name

-- name: due_schedules
SELECT name, pipeline, next, spec FROM schedules WHERE next <= $1 ORDER BY next, name

-- name: move_schedule
-- Only the one who saw it as it is moves it.
UPDATE schedules SET next = $1, spec = $2 WHERE name = $3 AND next = $4 AND spec = $5 RETURNING name

-- name: drop_schedule
DELETE FROM schedules WHERE name = $1 RETURNING name

-- name: try_slot
-- A slot of a limit is a lock of the session: the server takes it back when the worker dies.
SELECT pg_try_advisory_lock(7386925, hashtext($1))

-- name: free_slot
SELECT pg_advisory_unlock(7386925, hashtext($1))

-- name: missing
-- Where a reservation holds less than it asked for, for it was not made: how those accounts stand.
SELECT claim.account, claim.meter, claim.at_most, coalesce(spent, 0), coalesce(reserved, 0), claim.amount
FROM jsonb_to_recordset($3::jsonb) AS claim (account text, meter text, amount bigint, at_most bigint)
LEFT JOIN accounts ON accounts.account = claim.account AND accounts.meter = claim.meter
LEFT JOIN reservations AS held
    ON held.run_id = $1 AND held.id = $2 AND held.account = claim.account AND held.meter = claim.meter
WHERE held.amount < claim.amount OR NOT EXISTS (SELECT FROM reservations WHERE run_id = $1 AND id = $2)

-- name: balances
-- Of the accounts whose names begin with a text.
SELECT account, meter, at_most, spent, reserved FROM accounts
WHERE starts_with(account, $1) ORDER BY account, meter

-- name: reservations
-- Of one run, or of all.
SELECT run_id, id, account, meter, amount FROM reservations
WHERE run_id = $1 OR $1 = '' ORDER BY run_id, id, account, meter

-- name: needs
SELECT needs FROM flujo_schema WHERE version = $1

-- name: note_needs
UPDATE flujo_schema SET needs = $2 WHERE version = $1

-- name: has_needs
SELECT EXISTS (
    SELECT FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = 'flujo_schema' AND column_name = 'needs'
)

-- name: tables
SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()

-- name: server
SELECT current_setting('server_version')

-- name: size
SELECT coalesce(sum(pg_total_relation_size(format('%I.%I', schemaname, tablename)::regclass)), 0)::bigint
FROM pg_tables WHERE schemaname = current_schema() AND tablename = ANY ($1::text[])

-- name: counts_by_status
SELECT status, count(*) FROM runs GROUP BY status ORDER BY status

-- name: extent
-- How many events and payloads there are, and when the first run began and the last.
SELECT
    (SELECT count(*) FROM events),
    (SELECT count(*) FROM payloads),
    (SELECT min(created_at) FROM runs),
    (SELECT max(created_at) FROM runs)

-- name: count_tombstones
SELECT count(*) FROM tombstones

-- name: prunable
-- Ended runs, the oldest first, with the size of their events.
SELECT run_id, pipeline, status, created_at, updated_at, seq, hash,
    (SELECT coalesce(sum(length(body)), 0)::bigint FROM events WHERE events.run_id = runs.run_id)
FROM runs
WHERE status = ANY ($1::text[]) AND updated_at < $2 AND ($3::text = '' OR pipeline = $3)
  AND (updated_at, run_id) > ($4::bigint, $5::text COLLATE "C")
ORDER BY updated_at, run_id LIMIT $6

-- name: lock_pruning
-- Held until the end of the transaction: one process at a time prunes.
SELECT pg_advisory_xact_lock(7386925432199310442)

-- name: ended_runs
SELECT run_id, pipeline, status, created_at, updated_at, seq, hash FROM runs
WHERE run_id = ANY ($1::text[]) ORDER BY updated_at, run_id FOR UPDATE

-- name: last_tombstone
SELECT number, hash FROM last_tombstone

-- name: note_last_tombstone
UPDATE last_tombstone SET number = $1, hash = $2

-- name: census
SELECT (SELECT coalesce(sum(begun), 0)::bigint FROM census), (SELECT count(*) FROM runs), number, hash
FROM last_tombstone

-- name: tombstone
SELECT number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash
FROM tombstones WHERE run_id = $1

-- name: bury
INSERT INTO tombstones
    (number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: tombstones
SELECT number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash
FROM tombstones WHERE number > $1 ORDER BY number LIMIT $2

-- name: prune_events
DELETE FROM events WHERE run_id = ANY ($1::text[])

-- name: prune_runs
DELETE FROM runs WHERE run_id = ANY ($1::text[])

-- name: prune_signals
DELETE FROM signals WHERE run_id = ANY ($1::text[])

-- name: open_runs
SELECT run_id FROM runs WHERE NOT status = ANY ($1::text[])

-- name: referring
-- Events that stand on payloads.
SELECT body FROM events WHERE position('_ref"'::bytea IN body) > 0

-- name: referring_lately
-- Likewise, of runs that may have been written to lately: open now, open before, or begun since.
SELECT body FROM events
WHERE position('_ref"'::bytea IN body) > 0 AND run_id IN (
    SELECT run_id FROM runs
    WHERE NOT status = ANY ($1::text[]) OR run_id = ANY ($2::text[]) OR created_at >= $3
)

-- name: digests
SELECT digest, length(bytes)::bigint FROM payloads

-- name: lock_payloads
-- Until the end of the transaction nobody adds a payload, and whoever was adding one has committed.
LOCK TABLE payloads IN SHARE ROW EXCLUSIVE MODE

-- name: prune_payloads
DELETE FROM payloads WHERE digest = ANY ($1::bytea[])

-- name: all_runs
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash FROM runs

-- name: all_events
SELECT run_id, seq, kind, address, at, body, hash FROM events

-- name: all_payloads
SELECT digest, bytes FROM payloads

-- name: all_cached
SELECT key, value FROM cache

-- name: all_signals
SELECT id, run_id, name, at, payload FROM signals

-- name: all_schedules
SELECT name, pipeline, next, spec FROM schedules

-- name: all_accounts
SELECT account, meter, at_most, spent, reserved FROM accounts

-- name: all_reservations
SELECT run_id, id, account, meter, amount FROM reservations

-- name: all_tombstones
SELECT number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash
FROM tombstones ORDER BY number

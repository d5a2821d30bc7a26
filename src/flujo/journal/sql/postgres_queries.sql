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
-- A change of a run that has no record divides by zero, which undoes all of it.
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
SELECT 1 / CASE WHEN count(*) = cardinality($17::text[]) THEN 1 ELSE 0 END FROM changed

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

-- Every statement the SQLite store runs on its tables. A line `-- name: x` begins the query x.


-- name: identity
-- Whose file it is, in one statement, so that somebody who is making it just now cannot confuse the answer.
SELECT
    (SELECT application_id FROM pragma_application_id),
    (SELECT user_version FROM pragma_user_version),
    (SELECT count(*) FROM sqlite_master)

-- name: append_events
-- Fails on the primary key when another writer was first.
INSERT INTO events (run_id, seq, kind, address, at, body, hash) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: last_seq
-- Where a run's journal ends; 0 before its first event.
SELECT coalesce(max(seq), 0) FROM events WHERE run_id = ?

-- name: create_run
-- Fails on the primary key when the run exists.
INSERT INTO runs (run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: change_run
UPDATE runs SET status = ?, owner = ?, updated_at = ?, seq = ?, hash = ? WHERE run_id = ?

-- name: keep_payload
-- The same bytes have the same digest: what is there already is what would be written.
INSERT INTO payloads (digest, bytes) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING

-- name: keep_cached
INSERT INTO cache (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: events_after
SELECT run_id, seq, kind, address, at, body, hash FROM events
WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?

-- name: events_before
-- From the newest back: what a composite covers comes after it.
SELECT run_id, seq, kind, address, at, body, hash FROM events
WHERE run_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?

-- name: run
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash FROM runs WHERE run_id = ?

-- name: runs_by_time
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash
FROM runs INDEXED BY runs_by_time
WHERE created_at >= :since AND created_at < :until AND (created_at, run_id) < (:after_at, :after_id)
  AND (:pipeline = '' OR pipeline = :pipeline)
ORDER BY created_at DESC, run_id DESC LIMIT :limit

-- name: runs_by_status
-- One status at a time, so that the few runs that wait are found among the many that ended.
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash
FROM runs INDEXED BY runs_by_status
WHERE status = :status
  AND created_at >= :since AND created_at < :until AND (created_at, run_id) < (:after_at, :after_id)
  AND (:pipeline = '' OR pipeline = :pipeline)
ORDER BY created_at DESC, run_id DESC LIMIT :limit

-- name: runs_by_prefix
-- Few runs share a prefix: they are found by the primary key and sorted.
SELECT run_id, pipeline, fingerprint, status, owner, created_at, updated_at, seq, hash
FROM runs
WHERE run_id >= :prefix AND run_id < :prefix || char(1114111)
  AND (:status = '' OR status = :status)
  AND +created_at >= :since AND +created_at < :until AND (+created_at, run_id) < (:after_at, :after_id)
  AND (:pipeline = '' OR pipeline = :pipeline)
ORDER BY +created_at DESC, run_id DESC LIMIT :limit

-- name: orphans
-- Ids of events that no record names. One look into the index for each run, not one for each event.
WITH RECURSIVE ids (run_id) AS (
    SELECT min(run_id) FROM events
    UNION ALL
    SELECT (SELECT min(events.run_id) FROM events WHERE events.run_id > ids.run_id) FROM ids
    WHERE ids.run_id IS NOT NULL
)
SELECT CAST(run_id AS TEXT) FROM ids
WHERE run_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run_id = ids.run_id)

-- name: payload
SELECT bytes FROM payloads WHERE digest = ?

-- name: cached
SELECT value FROM cache WHERE key = ?

-- name: enqueue
-- A job that waits already for the same run and time is enough.
INSERT INTO jobs (run_id, queue, due, priority, tenant) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: keep_signal
INSERT INTO signals (id, run_id, name, at, payload) VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING

-- name: receive_signal
DELETE FROM signals WHERE id = ?

-- name: signals
SELECT id, run_id, name, at, payload FROM signals WHERE run_id = ? ORDER BY at, id

-- name: due_jobs
-- Those that may be taken now. One run is in one worker's hands at a time.
SELECT id, run_id, queue, due, priority, tenant FROM jobs AS job
WHERE worker = '' AND due <= :now AND queue IN (SELECT value FROM json_each(:queues))
  AND tenant NOT IN (SELECT value FROM json_each(:full))
  AND NOT EXISTS (SELECT 1 FROM jobs AS taken WHERE taken.run_id = job.run_id AND taken.worker <> '')
ORDER BY priority DESC, due, id LIMIT :limit

-- name: next_due
SELECT min(due) FROM jobs
WHERE worker = '' AND due > :now AND queue IN (SELECT value FROM json_each(:queues))

-- name: take_job
UPDATE jobs SET worker = ? WHERE id = ?

-- name: finish_job
DELETE FROM jobs WHERE id = ?

-- name: postpone_job
-- Handed back; not, where another job for the same run and time has come to wait meanwhile.
UPDATE OR IGNORE jobs SET worker = '', due = ? WHERE id = ?

-- name: drop_taken_job
DELETE FROM jobs WHERE id = ? AND worker <> ''

-- name: taken_jobs
SELECT worker, queue, tenant, count(*) FROM jobs WHERE worker <> '' GROUP BY worker, queue, tenant

-- name: jobs_of_worker
SELECT id FROM jobs WHERE worker = ?

-- name: job_counts
-- By queue: due, for later, in hand.
SELECT queue, sum(worker = '' AND due <= :now), sum(worker = '' AND due > :now), sum(worker <> '')
FROM jobs GROUP BY queue ORDER BY queue

-- name: note_worker
INSERT INTO workers (name, queues, concurrency, began_at) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET queues = excluded.queues, concurrency = excluded.concurrency

-- name: forget_worker
DELETE FROM workers WHERE name = ?

-- name: workers
SELECT name, queues, concurrency, began_at FROM workers ORDER BY began_at, name

-- name: put_schedule
INSERT INTO schedules (name, pipeline, next, spec) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name

-- name: schedules
SELECT name, pipeline, next, spec FROM schedules ORDER BY name

-- name: due_schedules
SELECT name, pipeline, next, spec FROM schedules WHERE next <= ? ORDER BY next, name

-- name: move_schedule
-- Only the one who saw it as it is moves it.
UPDATE schedules SET next = ?, spec = ? WHERE name = ? AND next = ? AND spec = ? RETURNING name

-- name: drop_schedule
DELETE FROM schedules WHERE name = ? RETURNING name

-- name: open_account
-- Makes an account, or tells it its newest limit, and returns how it stands.
INSERT INTO accounts (account, meter, at_most, spent, reserved) VALUES (?, ?, ?, 0, 0)
ON CONFLICT (account, meter) DO UPDATE SET at_most = excluded.at_most
RETURNING account, meter, at_most, spent, reserved

-- name: held
-- What a reservation holds.
SELECT account, meter, amount FROM reservations WHERE run_id = ? AND id = ?

-- name: set_aside
UPDATE accounts SET reserved = reserved + ? WHERE account = ? AND meter = ?

-- name: hold
INSERT INTO reservations (run_id, id, account, meter, amount) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (run_id, id, account, meter) DO UPDATE SET amount = amount + excluded.amount

-- name: settle
UPDATE accounts SET reserved = reserved - ?, spent = spent + ? WHERE account = ? AND meter = ?

-- name: let_go
DELETE FROM reservations WHERE run_id = ? AND id = ?

-- name: balances
-- Of the accounts whose names begin with a text.
SELECT account, meter, at_most, spent, reserved FROM accounts
WHERE substr(account, 1, length(:prefix)) = :prefix ORDER BY account, meter

-- name: reservations
-- Of one run, or of all.
SELECT run_id, id, account, meter, amount FROM reservations
WHERE run_id = :run_id OR :run_id = '' ORDER BY run_id, id, account, meter

-- name: has_needs
SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'compatibility')

-- name: needs
SELECT needs FROM compatibility WHERE version = ?

-- name: note_needs
INSERT INTO compatibility (version, needs) VALUES (?, ?)

-- name: tables
SELECT name FROM sqlite_master WHERE type = 'table'

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
    (SELECT coalesce(sum(length(body)), 0) FROM events WHERE events.run_id = runs.run_id)
FROM runs
WHERE status IN (SELECT value FROM json_each(:statuses)) AND updated_at < :before
  AND (:pipeline = '' OR pipeline = :pipeline) AND (updated_at, run_id) > (:after_at, :after_id)
ORDER BY updated_at, run_id LIMIT :limit

-- name: ended_run
SELECT run_id, pipeline, status, created_at, updated_at, seq, hash FROM runs WHERE run_id = ?

-- name: last_tombstone
SELECT number, hash FROM census

-- name: note_last_tombstone
UPDATE census SET number = ?, hash = ?

-- name: copy_schedule
INSERT INTO schedules (name, pipeline, next, spec) VALUES (?, ?, ?, ?)

-- name: copy_account
INSERT INTO accounts (account, meter, at_most, spent, reserved) VALUES (?, ?, ?, ?, ?)

-- name: census
SELECT begun, (SELECT count(*) FROM runs), number, hash FROM census

-- name: set_census
UPDATE census SET begun = ?, number = ?, hash = ?

-- name: tombstone
SELECT number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash
FROM tombstones WHERE run_id = ?

-- name: bury
INSERT INTO tombstones
    (number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: tombstones
SELECT number, run_id, pipeline, status, created_at, ended_at, events, last_hash, pruned_at, hash
FROM tombstones WHERE number > ? ORDER BY number LIMIT ?

-- name: prune_events
DELETE FROM events WHERE run_id = ?

-- name: prune_run
DELETE FROM runs WHERE run_id = ?

-- name: prune_signals
DELETE FROM signals WHERE run_id = ?

-- name: prune_jobs
DELETE FROM jobs WHERE run_id = ?

-- name: last_row
SELECT coalesce(max(rowid), 0) FROM events

-- name: referring
-- Events after a row that stand on payloads, in the order they were written.
SELECT rowid, body FROM events WHERE rowid > ? AND instr(body, CAST('_ref"' AS BLOB)) > 0 ORDER BY rowid LIMIT 1000

-- name: digests
SELECT digest, length(bytes) FROM payloads

-- name: prune_payload
DELETE FROM payloads WHERE digest = ?

-- What workers are asked to do, what came from outside for runs, and what is to begin at set times.
-- flujo: additive

-- A job asks for one run to be carried on. `worker` names who has taken it; empty while it waits.
CREATE TABLE jobs (
    id       INTEGER NOT NULL PRIMARY KEY,
    run_id   TEXT    NOT NULL,
    queue    TEXT    NOT NULL,
    due      INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    tenant   TEXT    NOT NULL,
    worker   TEXT    NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX jobs_once ON jobs (run_id, due) WHERE worker = '';

CREATE INDEX jobs_waiting ON jobs (due, id) WHERE worker = '';

CREATE INDEX jobs_taken ON jobs (run_id) WHERE worker <> '';

CREATE TABLE signals (
    id      TEXT    NOT NULL PRIMARY KEY,
    run_id  TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    payload BLOB    NOT NULL
);

CREATE INDEX signals_by_run ON signals (run_id, at);

-- Workers that look for jobs; one that died is known by its name.
CREATE TABLE workers (
    name        TEXT    NOT NULL PRIMARY KEY,
    queues      TEXT    NOT NULL,
    concurrency INTEGER NOT NULL,
    began_at    INTEGER NOT NULL
);

-- `next` is the first time that has not been seen to; `spec` holds the rest, as JSON.
CREATE TABLE schedules (
    name     TEXT    NOT NULL PRIMARY KEY,
    pipeline TEXT    NOT NULL,
    next     INTEGER NOT NULL,
    spec     TEXT    NOT NULL
);

CREATE INDEX schedules_by_next ON schedules (next);

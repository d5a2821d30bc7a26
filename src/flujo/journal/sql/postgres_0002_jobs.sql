-- What came from outside for runs, and what is to begin at set times. Jobs are Procrastinate's: the tables of that
-- queue are made beside ours, by its own script.
-- flujo: make the queue
-- flujo: additive

CREATE TABLE signals (
    id      text COLLATE "C" NOT NULL PRIMARY KEY,
    run_id  text COLLATE "C" NOT NULL,
    name    text   NOT NULL,
    at      bigint NOT NULL,
    payload bytea  NOT NULL
);

CREATE INDEX signals_by_run ON signals (run_id, at);

-- `next` is the first time that has not been seen to; `spec` holds the rest, as JSON.
CREATE TABLE schedules (
    name     text COLLATE "C" NOT NULL PRIMARY KEY,
    pipeline text   NOT NULL,
    next     bigint NOT NULL,
    spec     text   NOT NULL
);

CREATE INDEX schedules_by_next ON schedules (next);

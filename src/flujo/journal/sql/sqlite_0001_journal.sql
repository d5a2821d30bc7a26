-- The journal itself: one row per run, one per event.

-- What lists of runs show. `seq` and `hash` name the run's last event when its status last changed, so that
-- a journal whose end was cut off is noticed.
CREATE TABLE runs (
    run_id      TEXT    NOT NULL PRIMARY KEY,
    pipeline    TEXT    NOT NULL,
    fingerprint TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    owner       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    seq         INTEGER NOT NULL,
    hash        BLOB    NOT NULL
);

CREATE INDEX runs_by_time ON runs (created_at, run_id);

-- The primary key is the fence: of two writers that continue one run, the second is refused.
-- Rows lie in the order of their commits, not by run, so that a commit that many runs share touches few pages.
CREATE TABLE events (
    run_id  TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    address TEXT    NOT NULL,
    at      INTEGER NOT NULL,
    body    BLOB    NOT NULL,
    hash    BLOB    NOT NULL,
    PRIMARY KEY (run_id, seq)
);

-- Large values, once each, by the SHA-256 of their bytes.
CREATE TABLE payloads (
    digest BLOB NOT NULL PRIMARY KEY,
    bytes  BLOB NOT NULL
);

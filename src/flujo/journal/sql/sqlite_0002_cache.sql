-- Results that outlive their run, and a quick way to the runs that wait for somebody.
-- flujo: additive

CREATE TABLE cache (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE INDEX runs_by_status ON runs (status, created_at, run_id);

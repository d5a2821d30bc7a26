-- What is kept of runs whose journals were removed on purpose, and which older versions may use this file.
-- flujo: additive

-- Each is chained to the one before by its hash; numbers have no gaps.
CREATE TABLE tombstones (
    number     INTEGER NOT NULL PRIMARY KEY,
    run_id     TEXT    NOT NULL UNIQUE,
    pipeline   TEXT    NOT NULL,
    status     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL,
    events     INTEGER NOT NULL,
    last_hash  BLOB    NOT NULL,
    pruned_at  INTEGER NOT NULL,
    hash       BLOB    NOT NULL
);

-- The name of a pruned run stands for that run: another under it would repeat what was done.
CREATE TRIGGER runs_not_pruned BEFORE INSERT ON runs
WHEN EXISTS (SELECT 1 FROM tombstones WHERE run_id = NEW.run_id)
BEGIN
    SELECT RAISE(ABORT, 'the run was pruned');
END;

-- One row: how many runs were ever begun, and the last tombstone, so that neither a run nor the newest tombstones
-- can be taken away unnoticed.
CREATE TABLE census (
    begun  INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hash   BLOB    NOT NULL
);

INSERT INTO census (begun, number, hash) SELECT count(*), 0, zeroblob(32) FROM runs;

CREATE TRIGGER runs_counted AFTER INSERT ON runs
BEGIN
    UPDATE census SET begun = begun + 1;
END;

-- For each version of the schema since this one, the oldest version whose code may still write here.
CREATE TABLE compatibility (
    version INTEGER NOT NULL PRIMARY KEY,
    needs   INTEGER NOT NULL
);

-- What is kept of runs whose journals were removed on purpose, and which older versions may use this file.

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

-- The oldest schema version whose code may still write here: what was added since does not disturb it.
CREATE TABLE compatibility (needs INTEGER NOT NULL);

INSERT INTO compatibility (needs) VALUES (1);

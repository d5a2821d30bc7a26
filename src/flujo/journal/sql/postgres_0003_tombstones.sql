-- What is kept of runs whose journals were removed on purpose, and which older versions may use these tables.
-- flujo: additive

-- Each is chained to the one before by its hash; numbers have no gaps.
CREATE TABLE tombstones (
    number     bigint NOT NULL PRIMARY KEY,
    run_id     text COLLATE "C" NOT NULL UNIQUE,
    pipeline   text   NOT NULL,
    status     text   NOT NULL,
    created_at bigint NOT NULL,
    ended_at   bigint NOT NULL,
    events     bigint NOT NULL,
    last_hash  bytea  NOT NULL,
    pruned_at  bigint NOT NULL,
    hash       bytea  NOT NULL
);

-- One row: the last tombstone, so that the newest of them cannot be taken away unnoticed.
CREATE TABLE last_tombstone (
    number bigint NOT NULL,
    hash   bytea  NOT NULL
);

INSERT INTO last_tombstone (number, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

-- How many runs were ever begun, so that none can be taken away unnoticed. In shards, by connection: those who begin
-- runs at once do not wait for each other.
CREATE TABLE census (
    shard integer NOT NULL PRIMARY KEY,
    begun bigint  NOT NULL
);

INSERT INTO census (shard, begun) SELECT 0, count(*) FROM runs;

-- The name of a pruned run stands for that run: another under it would repeat what was done. After the insertion,
-- which waits for whoever prunes that run at the moment: before it, his tombstone would not be seen.
CREATE FUNCTION flujo_begun() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    count_of_made bigint := (SELECT count(*) FROM made);
BEGIN
    IF count_of_made > 0 THEN
        IF EXISTS (SELECT FROM tombstones JOIN made ON made.run_id = tombstones.run_id) THEN
            RAISE EXCEPTION 'the run was pruned' USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO census (shard, begun) VALUES (pg_backend_pid() % 64, count_of_made)
        ON CONFLICT (shard) DO UPDATE SET begun = census.begun + excluded.begun;
    END IF;
    RETURN NULL;
END;
$$;

CREATE TRIGGER runs_begun AFTER INSERT ON runs REFERENCING NEW TABLE AS made
FOR EACH STATEMENT EXECUTE FUNCTION flujo_begun();

-- For each version of the schema since this one, the oldest version whose code may still write here.
ALTER TABLE flujo_schema ADD COLUMN needs integer;

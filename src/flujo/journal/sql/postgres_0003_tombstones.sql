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

-- The name of a pruned run stands for that run: another under it would repeat what was done.
CREATE FUNCTION flujo_not_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM tombstones WHERE tombstones.run_id = NEW.run_id) THEN
        RAISE EXCEPTION 'the run was pruned' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END;
$$;

-- After the insert, which waits for whoever is pruning a run of this name just now.
CREATE TRIGGER runs_not_pruned AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION flujo_not_pruned();

-- For each version of the schema since this one, the oldest version whose code may still write here.
ALTER TABLE flujo_schema ADD COLUMN needs integer;

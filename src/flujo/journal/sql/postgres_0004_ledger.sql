-- What may be spent over many runs: how each account stands, and what is set aside on it.
-- Money is counted in trillionths of a dollar, time in microseconds.
-- flujo: additive

CREATE TABLE accounts (
    account  text COLLATE "C" NOT NULL,
    meter    text COLLATE "C" NOT NULL,
    at_most  bigint NOT NULL,
    spent    bigint NOT NULL CHECK (spent >= 0),
    reserved bigint NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (account, meter)
);

-- What one reservation of a run holds, on each of its accounts.
CREATE TABLE reservations (
    run_id  text COLLATE "C" NOT NULL,
    id      text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    meter   text COLLATE "C" NOT NULL,
    amount  bigint NOT NULL,
    PRIMARY KEY (run_id, id, account, meter)
);

-- What a reservation asks for on top of what it holds already: nothing, on accounts that it was not made on.
CREATE FUNCTION flujo_asked(entry jsonb)
RETURNS TABLE (account text, meter text, asked bigint, amount bigint, at_most bigint) LANGUAGE sql STABLE AS $$
    SELECT claim.account, claim.meter, claim.amount - coalesce(held.amount, 0), claim.amount, claim.at_most
    FROM jsonb_to_recordset(entry -> 'claims') AS claim (account text, meter text, amount bigint, at_most bigint)
    LEFT JOIN reservations AS held
        ON held.run_id = entry ->> 'run' AND held.id = entry ->> 'id'
        AND held.account = claim.account AND held.meter = claim.meter
    WHERE claim.amount > held.amount
       OR NOT EXISTS (SELECT FROM reservations AS kept WHERE kept.run_id = entry ->> 'run' AND kept.id = entry ->> 'id')
$$;

-- Keeps the ledger entries of a group of batches, in their order, and returns what was missing for reservations.
-- An entry is {"batch": n, "run": …, "id": …} with either "claims": [{account, meter, amount, at_most}, …], or with
-- what was "spent": {meter: amount}. The balances are locked first, in one order everywhere, so that two writers
-- do not wait for each other.
CREATE FUNCTION flujo_keep_accounts(entries jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    place record;
    entry jsonb;
    short jsonb;
    missing jsonb := '[]';
BEGIN
    FOR place IN
        SELECT claim.account COLLATE "C" AS account, claim.meter COLLATE "C" AS meter
        FROM jsonb_array_elements(entries) AS listed (entry)
        CROSS JOIN jsonb_to_recordset(coalesce(listed.entry -> 'claims', '[]')) AS claim (account text, meter text)
        UNION
        SELECT held.account, held.meter
        FROM jsonb_array_elements(entries) AS listed (entry)
        JOIN reservations AS held ON held.run_id = listed.entry ->> 'run' AND held.id = listed.entry ->> 'id'
        ORDER BY account, meter
    LOOP
        INSERT INTO accounts (account, meter, at_most, spent, reserved)
        VALUES (place.account, place.meter, 0, 0, 0) ON CONFLICT DO NOTHING;
        PERFORM FROM accounts WHERE account = place.account AND meter = place.meter FOR UPDATE;
    END LOOP;

    FOR entry IN SELECT value FROM jsonb_array_elements(entries) WITH ORDINALITY ORDER BY ordinality LOOP
        IF entry -> 'claims' IS NULL THEN
            UPDATE accounts SET
                reserved = accounts.reserved - held.amount,
                spent = accounts.spent + coalesce((entry -> 'spent' ->> held.meter)::bigint, 0)
            FROM reservations AS held
            WHERE held.run_id = entry ->> 'run' AND held.id = entry ->> 'id'
              AND accounts.account = held.account AND accounts.meter = held.meter;
            DELETE FROM reservations WHERE run_id = entry ->> 'run' AND id = entry ->> 'id';
            CONTINUE;
        END IF;

        UPDATE accounts SET at_most = claim.at_most
        FROM jsonb_to_recordset(entry -> 'claims') AS claim (account text, meter text, at_most bigint)
        WHERE accounts.account = claim.account AND accounts.meter = claim.meter;

        SELECT jsonb_agg(jsonb_build_object(
            'batch', entry -> 'batch', 'id', entry -> 'id', 'account', balance.account, 'meter', balance.meter,
            'limit', claim.at_most, 'spent', balance.spent, 'reserved', balance.reserved, 'asked', claim.asked
        )) INTO short
        FROM flujo_asked(entry) AS claim
        JOIN accounts AS balance ON balance.account = claim.account AND balance.meter = claim.meter
        WHERE balance.spent::numeric + balance.reserved + claim.asked > claim.at_most;

        IF short IS NULL THEN
            UPDATE accounts SET reserved = accounts.reserved + claim.asked
            FROM flujo_asked(entry) AS claim
            WHERE accounts.account = claim.account AND accounts.meter = claim.meter;

            INSERT INTO reservations (run_id, id, account, meter, amount)
            SELECT entry ->> 'run', entry ->> 'id', account, meter, amount FROM flujo_asked(entry)
            ON CONFLICT (run_id, id, account, meter) DO UPDATE SET amount = excluded.amount;
        ELSE
            missing := missing || short;
        END IF;
    END LOOP;
    RETURN missing;
END
$$;

-- What may be spent over many runs: how each account stands, and what is set aside on it.
-- Money is counted in trillionths of a dollar, time in microseconds.
-- flujo: additive

CREATE TABLE accounts (
    account  TEXT    NOT NULL,
    meter    TEXT    NOT NULL,
    at_most  INTEGER NOT NULL,
    spent    INTEGER NOT NULL CHECK (spent >= 0),
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (account, meter)
) WITHOUT ROWID;

-- What one reservation of a run holds, on each of its accounts.
CREATE TABLE reservations (
    run_id  TEXT    NOT NULL,
    id      TEXT    NOT NULL,
    account TEXT    NOT NULL,
    meter   TEXT    NOT NULL,
    amount  INTEGER NOT NULL,
    PRIMARY KEY (run_id, id, account, meter)
) WITHOUT ROWID;

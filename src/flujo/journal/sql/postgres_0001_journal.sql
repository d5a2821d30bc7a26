-- Ids sort by their bytes ("C"), as Python sorts them: pages of runs do not depend on the server's language.

CREATE TABLE runs (
    run_id      text COLLATE "C" NOT NULL PRIMARY KEY,
    pipeline    text   NOT NULL,
    fingerprint text   NOT NULL,
    status      text   NOT NULL,
    owner       text   NOT NULL,
    created_at  bigint NOT NULL,
    updated_at  bigint NOT NULL,
    seq         bigint NOT NULL,
    hash        bytea  NOT NULL
);

CREATE INDEX runs_by_time ON runs (created_at, run_id);

CREATE INDEX runs_by_status ON runs (status, created_at, run_id);

-- The primary key is the fence: of two owners who write the same event, one is refused.
CREATE TABLE events (
    run_id  text COLLATE "C" NOT NULL,
    seq     bigint NOT NULL,
    kind    text   NOT NULL,
    address text   NOT NULL,
    at      bigint NOT NULL,
    body    bytea  NOT NULL,
    hash    bytea  NOT NULL,
    PRIMARY KEY (run_id, seq)
);

CREATE TABLE payloads (
    digest bytea NOT NULL PRIMARY KEY,
    bytes  bytea NOT NULL
);

CREATE TABLE cache (
    key   text COLLATE "C" NOT NULL PRIMARY KEY,
    value bytea NOT NULL
);

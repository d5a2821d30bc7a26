-- What tokens stand for. Values are sealed: this table without the keys says how many there are, and how long.

CREATE TABLE deid_tokens (
    token      text PRIMARY KEY,      -- the random part of the token
    scope      text NOT NULL,         -- keyed digest of the tenant, subject or run
    entity     text NOT NULL,         -- what it stands for: email, name, ...
    lookup     bytea NOT NULL UNIQUE,  -- keyed digest of scope, entity and value: one token for one value
    key_id     text NOT NULL,         -- the key that the value is sealed with
    sealed     bytea NOT NULL,         -- the value, sealed to token, scope and entity
    created_at bigint  NOT NULL       -- microseconds since the Unix epoch
);

CREATE INDEX deid_tokens_by_scope ON deid_tokens (scope);

CREATE TABLE deid_schema (version integer PRIMARY KEY);
INSERT INTO deid_schema (version) VALUES (1);

-- What tokens stand for. Values are sealed: this table without the keys says how many there are, and how long.

CREATE TABLE deid_tokens (
    token      TEXT PRIMARY KEY,      -- the random part of the token
    scope      TEXT NOT NULL,         -- keyed digest of the tenant, subject or run
    entity     TEXT NOT NULL,         -- what it stands for: email, name, ...
    lookup     BLOB NOT NULL UNIQUE,  -- keyed digest of scope, entity and value: one token for one value
    key_id     TEXT NOT NULL,         -- the key that the value is sealed with
    sealed     BLOB NOT NULL,         -- the value, sealed to token, scope and entity
    created_at INTEGER NOT NULL       -- microseconds since the Unix epoch
) STRICT, WITHOUT ROWID;

CREATE INDEX deid_tokens_by_scope ON deid_tokens (scope);

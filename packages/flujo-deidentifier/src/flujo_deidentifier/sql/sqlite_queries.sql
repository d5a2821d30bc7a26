-- The statements of the vault in SQLite.

-- name: identity
SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
       (SELECT count(*) FROM sqlite_master)

-- name: known
-- The token of a value that has one.
SELECT token FROM deid_tokens WHERE lookup = ?

-- name: add
-- A new token; nothing where the value has got one in the meantime, or the token stands for another value.
INSERT INTO deid_tokens (token, scope, entity, lookup, key_id, sealed, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING

-- name: kept
-- What a token of a scope stands for.
SELECT scope, entity, key_id, sealed FROM deid_tokens WHERE token = ? AND scope = ?

-- name: drop
DELETE FROM deid_tokens WHERE scope = ?

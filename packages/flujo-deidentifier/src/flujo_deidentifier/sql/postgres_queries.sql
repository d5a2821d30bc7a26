-- The statements of the vault in PostgreSQL.

-- name: lock
-- One process at a time makes the tables.
SELECT pg_advisory_xact_lock(7021093481)

-- name: has_schema
SELECT to_regclass('deid_schema') IS NOT NULL

-- name: version
SELECT max(version) FROM deid_schema

-- name: known
-- The tokens of values that have one.
SELECT lookup, token FROM deid_tokens WHERE lookup = ANY($1::bytea[])

-- name: add
-- New tokens; none where a value has got one in the meantime, or a token stands for another value. In the order
-- of their lookups, so that two processes never wait for each other.
INSERT INTO deid_tokens (token, scope, entity, lookup, key_id, sealed, created_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bytea[], $7::bigint[])
ON CONFLICT DO NOTHING

-- name: kept
-- What the tokens of a scope stand for.
SELECT token, scope, entity, key_id, sealed FROM deid_tokens WHERE token = ANY($1::text[]) AND scope = $2

-- name: drop
DELETE FROM deid_tokens WHERE scope = $1

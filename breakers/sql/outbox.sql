-- Rows without steps say that something about the breaker is to be judged, and nothing of a state.

-- name: look_at
INSERT INTO outbox (breaker_id) SELECT unnest(%(breakers)s::bigint[])

-- name: look_at_overridden
-- Those of which an instance reported what it has applied of the override that stands.
INSERT INTO outbox (breaker_id) SELECT breaker_id FROM override
WHERE breaker_id = ANY(%(breakers)s) AND ended_at IS NULL
RETURNING 1

-- name: look_at_sampled
INSERT INTO outbox (breaker_id) SELECT id FROM judging, unnest(%(breakers)s::bigint[]) AS id WHERE judging.samples
RETURNING 1

-- name: judge_samples
UPDATE judging SET samples = %(wanted)s WHERE samples <> %(wanted)s

-- History out to a file and in from one. Whatever goes out is in an order of names and times alone, for ids
-- differ from one database to the next.

-- name: out_breakers
SELECT env.name AS environment, s.name AS service, b.name AS breaker, b.target
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment env ON env.id = s.environment_id
WHERE (%(environment)s::text IS NULL OR env.name = %(environment)s) AND (%(service)s::text IS NULL OR s.name = %(service)s)
ORDER BY env.name COLLATE "C", s.name COLLATE "C", b.name COLLATE "C"

-- name: out_instances
SELECT env.name AS environment, s.name AS service, i.name AS instance, i.connected IS NOT NULL AS agent,
       i.last_seen, i.retired_at
FROM instance i JOIN service s ON s.id = i.service_id JOIN environment env ON env.id = s.environment_id
WHERE (%(environment)s::text IS NULL OR env.name = %(environment)s) AND (%(service)s::text IS NULL OR s.name = %(service)s)
ORDER BY env.name COLLATE "C", s.name COLLATE "C", i.name COLLATE "C"

-- name: extent_of_events
SELECT min(occurred_at), max(occurred_at) FROM event

-- name: extent_of_snapshots
SELECT min(occurred_at), max(occurred_at) FROM snapshot

-- name: out_events
SELECT env.name AS environment, s.name AS service, b.name AS breaker, i.name AS instance, e.event_id AS id,
       e.occurred_at, e.received_at, e.boot, e.seq, e.natural_state, e.detail, e.labels, e.metrics,
       e.type, e.to_state AS "to", e.from_state AS from_, e.cause, e.reason, e.library, e.origin
FROM event e
JOIN breaker b ON b.id = e.breaker_id
JOIN instance i ON i.id = e.instance_id
JOIN service s ON s.id = e.service_id
JOIN environment env ON env.id = s.environment_id
WHERE e.occurred_at >= %(since)s AND e.occurred_at < %(until)s
  AND (%(environment)s::text IS NULL OR env.name = %(environment)s) AND (%(service)s::text IS NULL OR s.name = %(service)s)
ORDER BY e.occurred_at, env.name COLLATE "C", s.name COLLATE "C", e.event_id COLLATE "C"

-- name: out_snapshots
SELECT env.name AS environment, s.name AS service, b.name AS breaker, i.name AS instance, e.event_id AS id,
       e.occurred_at, e.received_at, e.boot, e.seq, e.natural_state, e.detail, e.labels, e.metrics
FROM snapshot e
JOIN breaker b ON b.id = e.breaker_id
JOIN instance i ON i.id = e.instance_id
JOIN service s ON s.id = e.service_id
JOIN environment env ON env.id = s.environment_id
WHERE e.occurred_at >= %(since)s AND e.occurred_at < %(until)s
  AND (%(environment)s::text IS NULL OR env.name = %(environment)s) AND (%(service)s::text IS NULL OR s.name = %(service)s)
ORDER BY e.occurred_at, env.name COLLATE "C", s.name COLLATE "C", e.event_id COLLATE "C"

-- name: in_breakers
-- A breaker that is there keeps the target that it has.
UPDATE breaker b SET target = a.target
FROM unnest(%(breakers)s::bigint[], %(targets)s::text[]) AS a (id, target)
WHERE b.id = a.id AND b.target IS NULL AND a.target IS NOT NULL

-- name: in_instances
-- An instance that is there is left as it is. One that was an agent's is taken for not connected: if it stays away,
-- it is lost and retired like any other.
INSERT INTO instance (service_id, name, connected, last_seen, retired_at)
SELECT DISTINCT ON (service_id, name) service_id, name, CASE WHEN agent THEN false END, last_seen, retired_at
FROM unnest(%(services)s::bigint[], %(names)s::text[], %(agents)s::boolean[], %(seen)s::timestamptz[],
            %(retired)s::timestamptz[]) AS a (service_id, name, agent, last_seen, retired_at)
ORDER BY service_id, name
ON CONFLICT DO NOTHING

-- name: in_events
INSERT INTO event (service_id, event_id, occurred_at, received_at, breaker_id, instance_id, type, from_state, to_state,
                   natural_state, boot, seq, cause, reason, detail, labels, metrics, library, origin)
SELECT * FROM unnest(
    %(service_id)s::bigint[], %(event_id)s::text[], %(occurred_at)s::timestamptz[], %(received_at)s::timestamptz[],
    %(breaker_id)s::bigint[], %(instance_id)s::bigint[], %(type)s::text[], %(from_state)s::text[], %(to_state)s::text[],
    %(natural_state)s::text[], %(boot)s::text[], %(seq)s::bigint[], %(cause)s::text[], %(reason)s::text[],
    %(detail)s::text[], %(labels)s::jsonb[], %(metrics)s::jsonb[], %(library)s::text[], %(origin)s::text[])
ON CONFLICT DO NOTHING

-- name: in_snapshots
INSERT INTO snapshot (service_id, event_id, occurred_at, received_at, breaker_id, instance_id, natural_state, boot, seq,
                      detail, labels, metrics)
SELECT * FROM unnest(
    %(service_id)s::bigint[], %(event_id)s::text[], %(occurred_at)s::timestamptz[], %(received_at)s::timestamptz[],
    %(breaker_id)s::bigint[], %(instance_id)s::bigint[], %(natural_state)s::text[], %(boot)s::text[], %(seq)s::bigint[],
    %(detail)s::text[], %(labels)s::jsonb[], %(metrics)s::jsonb[])
ON CONFLICT DO NOTHING

-- History out to a file and in from one. Whatever goes out is in an order of names and times alone, for ids
-- differ from one database to the next.

-- name: out_breakers
SELECT env.name AS environment, s.name AS service, b.name AS breaker, b.target
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment env ON env.id = s.environment_id
WHERE (%(environment)s::text IS NULL OR env.name = %(environment)s) AND (%(service)s::text IS NULL OR s.name = %(service)s)
ORDER BY env.name COLLATE "C", s.name COLLATE "C", b.name COLLATE "C"

-- name: out_instances
-- When it was retired is not said where its silence tells, as it does where the file is read (see `in_instances`).
SELECT env.name AS environment, s.name AS service, i.name AS instance, i.connected IS NOT NULL AS agent, i.last_seen,
       nullif(i.retired_at, CASE WHEN i.connected IS NULL THEN i.last_seen + interval '7 days' ELSE greatest(i.last_seen,
           (SELECT max(bi.at) FROM breaker_instance bi WHERE bi.instance_id = i.id)) END) AS retired_at
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
-- An instance that is there is left as it is. An agent's that was not retired there is retired here since it was last
-- seen: its agent has never spoken to this panel, so that it is not there and cannot be lost, and if it says hello it is
-- back. One that was known by events alone is retired after a week's silence, as it would have been there.
INSERT INTO instance (service_id, name, connected, last_seen, retired_at)
SELECT DISTINCT ON (service_id, name) service_id, name, CASE WHEN agent THEN false END, last_seen,
       coalesce(retired_at, CASE WHEN agent THEN last_seen
                                 WHEN last_seen < now() - interval '7 days' THEN last_seen + interval '7 days' END)
FROM unnest(%(services)s::bigint[], %(names)s::text[], %(agents)s::boolean[], %(seen)s::timestamptz[],
            %(retired)s::timestamptz[]) AS a (service_id, name, agent, last_seen, retired_at)
ORDER BY service_id, name
ON CONFLICT DO NOTHING

-- name: retire_after_last_word
-- Of instances whose agent has never spoken to this panel: when they were seen is noted each few seconds, and their last
-- word may have come after that.
UPDATE instance i SET retired_at = said.at
FROM (SELECT instance_id, max(at) AS at FROM breaker_instance GROUP BY instance_id) said
WHERE i.id = said.instance_id AND i.service_id = %(service)s AND i.connected IS NOT NULL AND i.boot IS NULL
  AND i.retired_at < said.at

-- name: await_hello
-- Of the same instances the first hello says what they have, and what it does not name is gone.
UPDATE breaker_instance bi SET presented_by = ''
FROM instance i
WHERE i.id = bi.instance_id AND i.service_id = %(service)s AND i.connected IS NOT NULL AND i.boot IS NULL
  AND bi.presented_by IS NULL

-- name: unnamed
-- Of instances whose agent has spoken to this panel: what came with the import alone, where the hello names others. That
-- is what is new, and what came with an import that was broken off and was derived since, of which the present
-- life has told nothing.
SELECT bi.breaker_id, bi.instance_id
FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
WHERE i.service_id = %(service)s AND i.connected IS NOT NULL AND i.boot IS NOT NULL
  AND bi.at < %(since)s AND bi.presented_by IS NULL AND bi.left_at IS NULL
  AND EXISTS (SELECT FROM breaker_instance named WHERE named.instance_id = i.id AND named.presented_by = i.boot)
  AND (bi.created_at >= %(since)s OR NOT EXISTS (
      SELECT FROM event e
      WHERE e.breaker_id = bi.breaker_id AND e.instance_id = bi.instance_id AND e.origin = 'agent'
        AND (e.boot = i.boot OR e.received_at >= i.session_since)))

-- name: leave_unnamed
-- They are gone since their last word. Whoever has told of one meanwhile has it.
UPDATE breaker_instance bi SET left_at = bi.at, presented_by = ''
FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[]) AS a (breaker, instance)
WHERE bi.breaker_id = a.breaker AND bi.instance_id = a.instance AND bi.at < %(since)s AND bi.presented_by IS NULL

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

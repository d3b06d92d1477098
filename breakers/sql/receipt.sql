-- What was told of some breakers in a span of time, in the order in which it was received.

-- name: lanes
-- Each breaker instance, with what it is now.
SELECT bi.breaker_id, bi.instance_id, i.name, bi.library, i.labels || bi.labels AS labels,
       least(bi.left_at, i.retired_at) AS retired_at, bi.state, bi.natural_state, bi.since, bi.not_closed_since
FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
WHERE bi.breaker_id = ANY(%(breakers)s)
ORDER BY bi.breaker_id, bi.instance_id

-- name: received
-- The state changes of the span by receipt. What is received occurred at most 7 days before, and 5 minutes after.
SELECT e.breaker_id, e.instance_id, e.to_state, e.natural_state, e.boot, boot.first_at AS boot_at, e.seq,
       e.occurred_at, e.received_at, e.origin, e.event_id
FROM event e
LEFT JOIN boot ON boot.instance_id = e.instance_id AND boot.boot = e.boot
WHERE e.breaker_id = ANY(%(breakers)s) AND e.type = 'state_change'
  AND e.occurred_at BETWEEN %(since)s - interval '8 days' AND %(until)s + interval '10 minutes'
  AND e.received_at >= %(since)s AND e.received_at < %(until)s
ORDER BY e.received_at, e.occurred_at, e.seq NULLS FIRST, e.event_id
LIMIT %(most)s

-- name: moved_later
-- Who was told of after the span: what it is now is not what it was then.
SELECT DISTINCT e.breaker_id, e.instance_id FROM event e
WHERE e.breaker_id = ANY(%(breakers)s) AND e.type = 'state_change'
  AND e.occurred_at >= %(until)s - interval '8 days' AND e.received_at >= %(until)s

-- name: stood
SELECT s.* FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[], %(times)s::timestamptz[])
    AS pair (breaker, instance, at)
CROSS JOIN LATERAL state_at(pair.breaker, pair.instance, pair.at) s

-- name: known_before
-- What was received before the span of what occurred since these times.
SELECT e.breaker_id, e.instance_id, e.to_state, e.natural_state, e.boot, boot.first_at AS boot_at, e.seq,
       e.occurred_at, e.received_at, e.origin, e.event_id
FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[], %(times)s::timestamptz[]) AS pair (breaker, instance, at)
JOIN event e ON e.breaker_id = pair.breaker AND e.instance_id = pair.instance AND e.type = 'state_change'
    AND e.occurred_at > pair.at AND e.occurred_at <= %(since)s + interval '10 minutes' AND e.received_at < %(since)s
LEFT JOIN boot ON boot.instance_id = e.instance_id AND boot.boot = e.boot
ORDER BY e.received_at, e.occurred_at, e.seq NULLS FIRST, e.event_id

-- name: absences
SELECT instance_id, breaker_id, since, until FROM absence
WHERE instance_id = ANY(%(instances)s) AND (breaker_id IS NULL OR breaker_id = ANY(%(breakers)s)) AND since < %(until)s AND until > %(since)s
ORDER BY since

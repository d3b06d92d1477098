-- What history, its checkpoints included, says of states; the functions are those of migration 0010.

-- name: note_disorder
-- Changes that came late, or rank above one that was later: notes the breaker instances in which ranks and times
-- disagree around them. Of all others, the latest change by time is the state. OFFSET 0 keeps the pair's conditions
-- inside the view, where an index serves them: joined to it, all of history is read.
INSERT INTO disorder (breaker_id, instance_id)
SELECT DISTINCT breaker_id, instance_id
FROM (
    SELECT h.breaker_id, h.instance_id,
           h.occurred_at > lag(h.occurred_at) OVER (PARTITION BY came.number
               ORDER BY h.boot_at DESC NULLS LAST, h.boot COLLATE "C" DESC NULLS LAST, h.seq DESC NULLS LAST,
                        h.occurred_at DESC, h.event_id COLLATE "C" DESC) AS amiss
    FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
        WITH ORDINALITY AS came (breaker_id, instance_id, first, last, number)
    CROSS JOIN LATERAL (
        SELECT max(e.occurred_at) AS at FROM event e
        WHERE e.breaker_id = came.breaker_id AND e.instance_id = came.instance_id AND e.type = 'state_change'
          AND e.occurred_at < came.first
    ) before
    CROSS JOIN LATERAL (
        SELECT min(e.occurred_at) AS at FROM event e
        WHERE e.breaker_id = came.breaker_id AND e.instance_id = came.instance_id AND e.type = 'state_change'
          AND e.occurred_at > came.last
    ) after
    CROSS JOIN LATERAL (
        SELECT * FROM state_history h
        WHERE h.breaker_id = came.breaker_id AND h.instance_id = came.instance_id
          AND (h.is_checkpoint
               OR h.occurred_at >= coalesce(before.at, came.first) AND h.occurred_at <= coalesce(after.at, came.last))
        OFFSET 0
    ) h
) around
WHERE amiss
ON CONFLICT DO NOTHING

-- name: note_all_disordered
-- Until they were looked at as a whole.
INSERT INTO disorder (breaker_id, instance_id)
SELECT * FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[]) ON CONFLICT DO NOTHING

-- name: forget_disorder
DELETE FROM disorder d
USING unnest(%(breakers)s::bigint[], %(instances)s::bigint[]) AS pair (breaker_id, instance_id)
WHERE d.breaker_id = pair.breaker_id AND d.instance_id = pair.instance_id

-- name: states_now
SELECT s.* FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[]) AS pair (breaker, instance)
CROSS JOIN LATERAL state_at(pair.breaker, pair.instance, 'infinity') s

-- name: keep_events
-- Until the end of the transaction nothing is dropped; nobody else waits.
LOCK TABLE ONLY event IN ACCESS SHARE MODE

-- name: edge
SELECT at FROM history_edge

-- name: forget_absences
DELETE FROM absence WHERE until < (SELECT at FROM history_edge)

-- name: summaries_then
-- As `summaries` of board.sql, at a past instant: only what history knows. An instance is there from its first state
-- change on, or from when it was first heard of, and not while it was retired or had no such breaker; whoever was lost
-- is unknown. Breakers
-- that nobody had heard of are left out.
SELECT b.id, e.name AS environment, s.name AS service, b.name AS breaker, b.target, n.*,
       o.mode, o.reason, o.by_name, o.by_kind, o.expires_at, o.instances AS scope, o.created_at AS override_since
FROM breaker b
JOIN service s ON s.id = b.service_id
JOIN environment e ON e.id = s.environment_id
LEFT JOIN LATERAL (
    SELECT * FROM override o
    WHERE o.breaker_id = b.id AND o.created_at <= %(at)s AND (o.ended_at IS NULL OR o.ended_at > %(at)s)
    ORDER BY o.revision DESC LIMIT 1
) o ON true
JOIN LATERAL (
    SELECT count(*)                                                         AS instances,
           count(*) FILTER (WHERE held.state = 'open')                      AS open,
           count(*) FILTER (WHERE held.state = 'forced_open')               AS forced_open,
           count(*) FILTER (WHERE held.state = 'half_open')                 AS half_open,
           count(*) FILTER (WHERE held.state = 'forced_closed')             AS forced_closed,
           count(*) FILTER (WHERE held.state = 'closed')                    AS closed,
           count(*) FILTER (WHERE coalesce(held.state, 'unknown') = 'unknown') AS unknown,
           min(held.since) FILTER (WHERE held.state = 'open')               AS open_since,
           min(held.since) FILTER (WHERE held.state = 'forced_open')        AS forced_open_since,
           min(held.since) FILTER (WHERE held.state = 'half_open')          AS half_open_since,
           min(held.since) FILTER (WHERE held.state = 'forced_closed')      AS forced_closed_since,
           max(held.since) FILTER (WHERE held.state = 'closed')             AS closed_since,
           min(held.since) FILTER (WHERE held.state = 'unknown')            AS unknown_since,
           min(held.not_closed_since)                                       AS not_closed_since
    FROM breaker_instance bi
    JOIN instance i ON i.id = bi.instance_id AND (i.retired_at IS NULL OR i.retired_at > %(at)s)
    LEFT JOIN LATERAL state_at(b.id, bi.instance_id, %(at)s) held ON true
    WHERE bi.breaker_id = b.id AND (held.state IS NOT NULL OR bi.created_at <= %(at)s)
      AND (bi.left_at IS NULL OR bi.left_at > %(at)s)
      AND NOT EXISTS (SELECT FROM absence a
                      WHERE a.instance_id = i.id AND (a.breaker_id IS NULL OR a.breaker_id = b.id)
                        AND a.since <= %(at)s AND a.until > %(at)s)
) n ON n.instances > 0 OR b.created_at <= %(at)s

-- name: states_before
-- Of state changes of a breaker, the state that the instance of each was in just before, by time, and at one instant by
-- seq; null where history has none. In their order.
SELECT coalesce(
    (SELECT e.to_state FROM event e
     WHERE e.breaker_id = %(breaker)s AND e.instance_id = asked.instance_id AND e.type = 'state_change'
       AND e.occurred_at <= asked.at
       AND (e.occurred_at, coalesce(e.seq, -1), e.event_id COLLATE "C") < (asked.at, coalesce(asked.seq, -1), asked.id)
     ORDER BY e.occurred_at DESC, coalesce(e.seq, -1) DESC, e.event_id COLLATE "C" DESC LIMIT 1),
    (SELECT c.to_state FROM checkpoint c
     WHERE c.breaker_id = %(breaker)s AND c.instance_id = asked.instance_id AND c.occurred_at < asked.at))
FROM unnest(%(instances)s::bigint[], %(times)s::timestamptz[], %(seqs)s::bigint[], %(ids)s::text[])
    WITH ORDINALITY AS asked (instance_id, at, seq, id, place)
ORDER BY asked.place

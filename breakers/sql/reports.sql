-- name: changes
-- The state changes of some breakers, an instance at a time, by time, from the last before `since` after which calls were
-- let through: the outage that `since` may lie in began later. Of instances that were not closed before, or of which the
-- order of ranks is not that of times, all, after what their checkpoint says. Boots are ranked by all that is known now.
WITH pair AS MATERIALIZED (
    SELECT bi.breaker_id, bi.instance_id, bi.left_at, least(bi.left_at, i.retired_at) AS retired_at,
           coalesce((SELECT max(e.occurred_at) FROM event e
                     WHERE e.breaker_id = bi.breaker_id AND e.instance_id = bi.instance_id AND e.type = 'state_change'
                       AND e.to_state IN ('closed', 'forced_closed') AND e.occurred_at <= %(since)s
                       AND NOT EXISTS (SELECT FROM disorder d
                                       WHERE d.breaker_id = bi.breaker_id AND d.instance_id = bi.instance_id)),
                    '-infinity') AS since
    FROM breaker_instance bi
    JOIN instance i ON i.id = bi.instance_id
    WHERE bi.breaker_id = ANY(%(breakers)s)
)
SELECT h.breaker_id, h.instance_id, h.to_state, h.boot, h.boot_at, h.seq, h.occurred_at, h.origin, h.event_id,
       -- Of an event they say what `occurred_at` does, and to read a time takes as long as all else of a row.
       h.is_checkpoint, CASE WHEN h.is_checkpoint THEN h.since END AS since,
       CASE WHEN h.is_checkpoint THEN h.not_closed_since END AS not_closed_since, pair.retired_at,
       -- What the first words say that they left: only there is nothing before them to tell.
       CASE WHEN rank() OVER (PARTITION BY h.breaker_id, h.instance_id ORDER BY h.is_checkpoint DESC, h.occurred_at) = 1
                 AND pair.since = '-infinity' AND NOT h.is_checkpoint AND h.to_state IN ('open', 'half_open')
            THEN (SELECT e.from_state FROM event e
                  WHERE e.breaker_id = h.breaker_id AND e.occurred_at = h.occurred_at AND e.event_id = h.event_id) END AS from_state
FROM pair
CROSS JOIN LATERAL (
    SELECT * FROM state_history h
    WHERE h.breaker_id = pair.breaker_id AND h.instance_id = pair.instance_id
      AND h.occurred_at >= pair.since AND h.occurred_at < %(until)s
      AND (pair.left_at IS NULL OR h.occurred_at <= pair.left_at)
    OFFSET 0  -- or all of history is read, and joined to the pairs
) h
ORDER BY h.breaker_id, h.instance_id, h.is_checkpoint DESC, h.occurred_at

-- name: absences
-- When instances of some breakers were retired, or did not have them, and came back.
SELECT bi.breaker_id, bi.instance_id, a.since, a.until
FROM breaker_instance bi
JOIN absence a ON a.instance_id = bi.instance_id AND (a.breaker_id IS NULL OR a.breaker_id = bi.breaker_id)
WHERE bi.breaker_id = ANY(%(breakers)s) AND a.since < %(until)s

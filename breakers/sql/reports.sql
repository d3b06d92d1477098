-- name: changes
-- The state changes of some breakers, an instance at a time, by time, after what its checkpoint says; boots are ranked
-- by all that is known now.
SELECT h.breaker_id, h.instance_id, h.to_state, h.boot, h.boot_at, h.seq, h.occurred_at, h.origin, h.event_id,
       h.is_checkpoint, h.since, h.not_closed_since, i.retired_at,
       -- What the first words say that they left: only there is nothing before them to tell.
       CASE WHEN rank() OVER (PARTITION BY h.breaker_id, h.instance_id ORDER BY h.is_checkpoint DESC, h.occurred_at) = 1
                 AND NOT h.is_checkpoint AND h.to_state IN ('open', 'half_open')
            THEN (SELECT e.from_state FROM event e
                  WHERE e.breaker_id = h.breaker_id AND e.occurred_at = h.occurred_at AND e.event_id = h.event_id) END AS from_state
FROM state_history h
JOIN instance i ON i.id = h.instance_id
WHERE h.breaker_id = ANY(%(breakers)s) AND h.occurred_at < %(until)s
ORDER BY h.breaker_id, h.instance_id, h.is_checkpoint DESC, h.occurred_at

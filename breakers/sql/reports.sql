-- name: changes
-- The state changes of some breakers, an instance at a time, by time; boots are ranked by all that is known now.
SELECT e.breaker_id, e.instance_id, e.to_state, e.boot, boot.first_at AS boot_at, e.seq, e.occurred_at, e.origin, e.event_id,
       i.retired_at
FROM event e
JOIN instance i ON i.id = e.instance_id
LEFT JOIN boot ON boot.instance_id = e.instance_id AND boot.boot = e.boot
WHERE e.breaker_id = ANY(%(breakers)s) AND e.type = 'state_change' AND e.occurred_at < %(until)s
ORDER BY e.breaker_id, e.instance_id, e.occurred_at

-- name: services
SELECT id FROM service ORDER BY id

-- name: lock
-- The writer locks breakers before it touches state: while these are held, nothing moves in the service.
SELECT id FROM breaker WHERE service_id = %(service)s ORDER BY id FOR UPDATE

-- name: boots_amiss
-- Boots whose beginning is not the earliest state change that history has of them.
SELECT coalesce(h.instance_id, known.instance_id), coalesce(h.boot, known.boot), h.first_at
FROM (
    SELECT e.instance_id, e.boot, min(e.occurred_at) AS first_at
    FROM event e JOIN breaker b ON b.id = e.breaker_id
    WHERE b.service_id = %(service)s AND e.type = 'state_change' AND e.boot IS NOT NULL
    GROUP BY 1, 2
) h
FULL JOIN (
    SELECT boot.* FROM boot JOIN instance i ON i.id = boot.instance_id WHERE i.service_id = %(service)s
) known ON known.instance_id = h.instance_id AND known.boot = h.boot
WHERE known.first_at IS DISTINCT FROM h.first_at

-- name: drop_boot
DELETE FROM boot WHERE instance_id = %(instance)s AND boot = %(boot)s

-- name: set_boot
INSERT INTO boot (instance_id, boot, first_at) VALUES (%(instance)s, %(boot)s, %(first_at)s)
ON CONFLICT (instance_id, boot) DO UPDATE SET first_at = EXCLUDED.first_at

-- name: pairs
-- Every breaker instance that is known or that history speaks of.
SELECT bi.breaker_id, bi.instance_id FROM breaker_instance bi JOIN breaker b ON b.id = bi.breaker_id
WHERE b.service_id = %(service)s
UNION
SELECT e.breaker_id, e.instance_id FROM event e JOIN breaker b ON b.id = e.breaker_id
WHERE b.service_id = %(service)s AND e.type = 'state_change'
ORDER BY 1, 2

-- name: held
SELECT state, natural_state, since, not_closed_since, cause, reason, detail, boot, seq, at, origin, event_id
FROM breaker_instance WHERE breaker_id = %(breaker)s AND instance_id = %(instance)s

-- name: set_unknown
UPDATE breaker_instance SET state = 'unknown', natural_state = NULL, since = NULL, not_closed_since = NULL, cause = NULL, reason = NULL,
    detail = NULL, boot = NULL, seq = NULL, at = NULL, origin = NULL, event_id = NULL
WHERE breaker_id = %(breaker)s AND instance_id = %(instance)s

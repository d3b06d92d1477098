-- name: services
SELECT id FROM service ORDER BY id

-- name: lock
-- The writer locks breakers before it touches state: while these are held, nothing moves in the service.
SELECT id FROM breaker WHERE service_id = %(service)s ORDER BY id FOR UPDATE

-- name: boots_amiss
-- Boots whose beginning is not the earliest state change that history, or a checkpoint, has of them.
SELECT coalesce(h.instance_id, known.instance_id) AS instance_id, coalesce(h.boot, known.boot) AS boot, h.first_at
FROM (
    SELECT instance_id, boot, min(first_at) AS first_at
    FROM (
        SELECT e.instance_id, e.boot, min(e.occurred_at) AS first_at
        FROM event e JOIN breaker b ON b.id = e.breaker_id JOIN instance ON instance.id = e.instance_id
        WHERE b.service_id = %(service)s AND e.type = 'state_change' AND e.boot IS NOT NULL
        GROUP BY 1, 2
        UNION ALL
        SELECT c.* FROM checkpoint_boot c JOIN instance i ON i.id = c.instance_id WHERE i.service_id = %(service)s
    ) said
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

-- name: breakers_of
SELECT DISTINCT breaker_id FROM breaker_instance WHERE instance_id = ANY(%(instances)s)

-- name: differences
-- The breaker instances of a service that are not what history says; what it says nothing of is unknown. One
-- statement sees one moment, and the writer commits events and states together: it needs no lock to be right.
SELECT breaker_id, instance_id, held.state AS held_state, d.state, d.natural_state, d.since, d.not_closed_since, d.cause,
       d.reason, d.detail, d.boot, d.seq, d.at, d.origin, d.event_id,
       coalesce(d.disordered AND o.breaker_id IS NULL, false) AS unordered
FROM (
    -- Of an instance that was removed history may be kept, and nothing is current.
    SELECT derived.*
    FROM derived_states((SELECT array_agg(id) FROM breaker WHERE service_id = %(service)s), 'infinity', 'infinity') derived
    JOIN instance ON instance.id = derived.instance_id
) d
FULL JOIN (
    SELECT bi.* FROM breaker_instance bi JOIN breaker b ON b.id = bi.breaker_id WHERE b.service_id = %(service)s
) held USING (breaker_id, instance_id)
LEFT JOIN disorder o USING (breaker_id, instance_id)
WHERE (held.state, held.natural_state, held.since, held.not_closed_since, held.cause, held.reason, held.detail,
       held.boot, held.seq, held.at, held.origin, held.event_id)
    IS DISTINCT FROM
      (coalesce(d.state, 'unknown'), d.natural_state, d.since, d.not_closed_since, d.cause, d.reason, d.detail,
       d.boot, d.seq, d.at, d.origin, d.event_id)
   OR d.disordered AND o.breaker_id IS NULL

-- name: note_disorder
INSERT INTO disorder (breaker_id, instance_id) VALUES (%(breaker)s, %(instance)s) ON CONFLICT DO NOTHING

-- name: set_unknown
UPDATE breaker_instance SET state = 'unknown', natural_state = NULL, since = NULL, not_closed_since = NULL, cause = NULL, reason = NULL,
    detail = NULL, boot = NULL, seq = NULL, at = NULL, origin = NULL, event_id = NULL, probe_due_at = NULL
WHERE breaker_id = %(breaker)s AND instance_id = %(instance)s

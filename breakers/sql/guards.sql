-- name: lock_caller
-- One control call at a time of whoever's word it is: two at once would not see each other's touches. Only where
-- these count: else whoever waits for a row would hold up all else that the same hands do.
SELECT pg_advisory_xact_lock(%(lock)s) WHERE EXISTS (
    SELECT FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
    WHERE b.id = ANY(%(breakers)s) AND e.four_eyes_above IS NOT NULL)

-- name: lock_services
-- In id order, before any breaker: whoever changes what is wished holds these, so what is read now stays so.
SELECT id FROM service WHERE id = ANY(%(services)s) ORDER BY id FOR NO KEY UPDATE

-- name: breakers
-- What a call would touch: where it is, and by what it is known again. Instances are the live ones.
SELECT b.id, s.id AS service, s.name, e.name AS environment, e.max_forced_percent, e.confirm, e.four_eyes_above,
       b.revision, ARRAY(
           SELECT i.name FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
           WHERE bi.breaker_id = b.id AND bi.left_at IS NULL AND i.lost_at IS NULL AND i.retired_at IS NULL
           ORDER BY i.name)
FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
WHERE b.id = ANY(%(breakers)s) ORDER BY b.id

-- name: standing
-- All breakers of these services: whether any instance is live, and whether an override stands or is planned. One
-- that has run out is gone, whether or not its end is written yet.
SELECT b.service_id, b.id,
       EXISTS (SELECT FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
               WHERE bi.breaker_id = b.id AND bi.left_at IS NULL AND i.lost_at IS NULL AND i.retired_at IS NULL),
       EXISTS (SELECT FROM override o WHERE o.breaker_id = b.id AND o.ended_at IS NULL
               AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp()))
           OR EXISTS (SELECT FROM planned_override p WHERE p.breaker_id = b.id AND p.ended_at IS NULL
               AND (p.expires_at IS NULL OR p.expires_at > clock_timestamp()))
FROM breaker b WHERE b.service_id = ANY(%(services)s)

-- name: touched
-- The breakers that a person has touched since, by hand or by any key that they made, revoked ones included;
-- where nobody knows who made a key, all such keys are one pair of hands.
WITH hands AS (
    SELECT 'key' AS kind, id FROM api_key WHERE created_by_id IS NOT DISTINCT FROM %(person)s
    UNION ALL SELECT 'person', %(person)s::bigint)
SELECT e.name, b.id
FROM (
    SELECT o.breaker_id FROM hands h
    JOIN override o ON o.by_kind = h.kind AND o.by_id = h.id AND o.created_at > %(since)s
    UNION ALL
    SELECT o.breaker_id FROM hands h
    JOIN planned_override o ON o.by_kind = h.kind AND o.by_id = h.id AND o.created_at > %(since)s
    UNION ALL
    SELECT o.breaker_id FROM hands h
    JOIN command o ON o.by_kind = h.kind AND o.by_id = h.id AND o.created_at > %(since)s
) done
JOIN breaker b ON b.id = done.breaker_id
JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
WHERE e.name = ANY(%(environments)s)
UNION
-- Of what was removed since, the audit log alone is left.
SELECT a.environment, a.subject_id::bigint
FROM hands h JOIN audit_entry a ON a.actor_kind = h.kind AND a.actor_id = h.id
WHERE a.at > %(since)s AND a.environment = ANY(%(environments)s) AND a.subject_kind = 'breaker'
  AND a.action IN ('override', 'plan_override', 'trip', 'reset')
  AND NOT EXISTS (SELECT FROM breaker b WHERE b.id = a.subject_id::bigint)

-- name: show_again
-- Has pages look again at breakers of which something else has changed than their desired state.
WITH touched AS (INSERT INTO touched (breakers) VALUES (%(breakers)s)),
locked AS (SELECT id FROM breaker WHERE id = ANY(%(breakers)s) ORDER BY id FOR NO KEY UPDATE)
UPDATE breaker b SET change = change + 1, updated_at = clock_timestamp() FROM locked WHERE b.id = locked.id

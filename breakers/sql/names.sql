-- Renaming and removing. Whoever does either locks as writers do: services, then breakers by id, then instances.

-- name: lock_service
SELECT id FROM service WHERE id = %(service)s FOR UPDATE

-- name: lock_breakers
-- Writers find by the lock that one is gone, and look their names up again.
SELECT id FROM breaker WHERE id = ANY(%(breakers)s) ORDER BY id FOR UPDATE

-- name: lock_instances
SELECT id FROM instance WHERE id = ANY(%(instances)s) ORDER BY id FOR UPDATE

-- name: touch_breakers
WITH touched AS (INSERT INTO touched (breakers) VALUES (%(breakers)s))
UPDATE breaker SET change = change + 1, updated_at = clock_timestamp() WHERE id = ANY(%(breakers)s)

-- name: follow_instance
-- What is wished of an instance by its name is wished of it by its new one.
WITH overrides AS (
    UPDATE override o SET instances = array_replace(o.instances, %(old)s, %(new)s),
        excepted = array_replace(o.excepted, %(old)s, %(new)s)
    FROM breaker b
    WHERE b.id = o.breaker_id AND b.service_id = %(service)s AND o.ended_at IS NULL
      AND (%(old)s = ANY(o.instances) OR %(old)s = ANY(o.excepted))
), planned AS (
    UPDATE planned_override o SET instances = array_replace(o.instances, %(old)s, %(new)s),
        excepted = array_replace(o.excepted, %(old)s, %(new)s)
    FROM breaker b
    WHERE b.id = o.breaker_id AND b.service_id = %(service)s AND o.ended_at IS NULL
      AND (%(old)s = ANY(o.instances) OR %(old)s = ANY(o.excepted))
)
UPDATE command c SET instances = array_replace(c.instances, %(old)s, %(new)s)
FROM breaker b
WHERE b.id = c.breaker_id AND b.service_id = %(service)s AND c.expires_at > now() AND %(old)s = ANY(c.instances)

-- name: keep_words
-- Agents go on calling it as they did, until a hello says otherwise.
UPDATE breaker_instance SET said_as = %(old)s WHERE breaker_id = %(breaker)s AND said_as IS NULL

-- name: follow_service_in_keys
-- A key that is limited to a service reaches it by both of its names. One of all environments does not, where that
-- would open another service to it, which bears the new name elsewhere.
UPDATE api_key SET service_names = array_append(service_names, %(new)s)
WHERE %(old)s = ANY(service_names) AND NOT %(new)s = ANY(service_names) AND revoked_at IS NULL
  AND (environment_id = %(environment)s OR environment_id IS NULL AND NOT EXISTS (
      SELECT FROM service WHERE name = %(new)s AND environment_id <> %(environment)s))
RETURNING id, name, service_names

-- name: let_go
-- Sessions hold ids: whoever loses its session says hello again within seconds, and learns the ids anew.
UPDATE instance SET session = NULL WHERE id = ANY(%(instances)s) AND session IS NOT NULL

-- name: instances_of_breaker
SELECT instance_id FROM breaker_instance WHERE breaker_id = %(breaker)s

-- name: breakers_of_instance
SELECT breaker_id FROM breaker_instance WHERE instance_id = %(instance)s

-- name: erase_event_of_breaker
DELETE FROM event WHERE (service_id, event_id, occurred_at) IN (
    SELECT service_id, event_id, occurred_at FROM event WHERE breaker_id = %(id)s LIMIT %(some)s)

-- name: erase_snapshot_of_breaker
DELETE FROM snapshot WHERE (service_id, event_id, occurred_at) IN (
    SELECT service_id, event_id, occurred_at FROM snapshot WHERE breaker_id = %(id)s LIMIT %(some)s)

-- name: erase_event_of_instance
DELETE FROM event WHERE (service_id, event_id, occurred_at) IN (
    SELECT service_id, event_id, occurred_at FROM event
    WHERE instance_id = %(id)s AND breaker_id IN (
        SELECT id FROM breaker WHERE service_id = %(service)s
        UNION ALL SELECT of_id FROM removed WHERE kind = 'breaker' AND service_id = %(service)s)
    LIMIT %(some)s)

-- name: erase_snapshot_of_instance
DELETE FROM snapshot WHERE (service_id, event_id, occurred_at) IN (
    SELECT service_id, event_id, occurred_at FROM snapshot
    WHERE instance_id = %(id)s AND breaker_id IN (
        SELECT id FROM breaker WHERE service_id = %(service)s
        UNION ALL SELECT of_id FROM removed WHERE kind = 'breaker' AND service_id = %(service)s)
    LIMIT %(some)s)

-- name: erase_sums
WITH minutes AS (DELETE FROM metric_minute WHERE breaker_id = %(id)s),
hours AS (DELETE FROM metric_hour WHERE breaker_id = %(id)s),
due AS (DELETE FROM metric_hour_due WHERE breaker_id = %(id)s),
disorders AS (DELETE FROM disorder WHERE breaker_id = %(id)s)
DELETE FROM checkpoint WHERE breaker_id = %(id)s

-- name: erase_lives
WITH disorders AS (DELETE FROM disorder WHERE instance_id = %(id)s),
boots AS (DELETE FROM checkpoint_boot WHERE instance_id = %(id)s)
DELETE FROM checkpoint WHERE instance_id = %(id)s

-- name: forget_kept
-- Of what was removed before history's edge there is no event left.
WITH gone AS (
    DELETE FROM removed r USING history_edge WHERE NOT r.erase AND r.removed_at < history_edge.at RETURNING kind, of_id
),
boots AS (DELETE FROM checkpoint_boot b USING gone WHERE gone.kind = 'instance' AND b.instance_id = gone.of_id),
disorders AS (
    DELETE FROM disorder d USING gone
    WHERE (gone.kind = 'breaker' AND d.breaker_id = gone.of_id) OR (gone.kind = 'instance' AND d.instance_id = gone.of_id)
)
DELETE FROM checkpoint c USING gone
WHERE (gone.kind = 'breaker' AND c.breaker_id = gone.of_id) OR (gone.kind = 'instance' AND c.instance_id = gone.of_id)

-- name: lock_services
-- The services of these breakers, locked in id order.
SELECT id FROM service WHERE id IN (SELECT service_id FROM breaker WHERE id = ANY(%(breakers)s))
ORDER BY id FOR NO KEY UPDATE

-- name: raise_services
-- The lock under which desired changes are numbered: whoever has it commits before the next number is made.
UPDATE service SET desired_number = desired_number + 1 WHERE id = ANY(%(services)s) RETURNING id, desired_number

-- name: raise_breakers
WITH touched AS (INSERT INTO touched (breakers) SELECT %(breakers)s::bigint[] WHERE %(breakers)s::bigint[] <> '{}')
UPDATE breaker b SET revision = b.revision + 1, desired_number = held.number, change = b.change + 1,
       updated_at = clock_timestamp()
FROM unnest(%(breakers)s::bigint[], %(numbers)s::bigint[]) AS held (id, number)
WHERE b.id = held.id
RETURNING b.id, b.revision

-- name: due
-- Breakers whose override has run out, with their services, in the order in which they are to be locked.
SELECT b.id FROM override o JOIN breaker b ON b.id = o.breaker_id
WHERE o.ended_at IS NULL AND o.expires_at <= clock_timestamp()
ORDER BY b.service_id, b.id LIMIT 500

-- name: plans_due
-- Breakers whose planned override has its time, in the order in which they are to be locked. One that waits for
-- a newer override of somebody's to end is due only once its own end has passed.
SELECT b.id FROM planned_override p JOIN breaker b ON b.id = p.breaker_id
WHERE p.ended_at IS NULL AND p.starts_at <= clock_timestamp()
  AND (p.expires_at <= clock_timestamp() OR NOT EXISTS (
      SELECT FROM override o WHERE o.breaker_id = p.breaker_id AND o.ended_at IS NULL
          AND o.id IS DISTINCT FROM p.stood_id AND o.by_kind <> 'policy'))
ORDER BY b.service_id, b.id LIMIT 500

-- name: wishes
-- What is wished of the breakers of a service, where it changed after a number; times are what remains,
-- in seconds, by this clock. A wish that has run out is gone, whether or not its end is written yet.
SELECT b.id, b.name, b.revision, b.desired_number AS number, o.mode, o.reason, o.instances, o.excepted,
       extract(epoch FROM o.expires_at - clock_timestamp())::float AS expires_in,
       c.id AS command_id, c.command, c.instances AS command_instances,
       extract(epoch FROM c.expires_at - clock_timestamp())::float AS command_expires_in
FROM breaker b
LEFT JOIN override o ON o.breaker_id = b.id AND o.ended_at IS NULL
    AND (o.expires_at IS NULL OR o.expires_at > clock_timestamp())
LEFT JOIN LATERAL (
    SELECT * FROM command WHERE breaker_id = b.id ORDER BY revision DESC LIMIT 1
) c ON c.expires_at > clock_timestamp()
WHERE b.service_id = %(service)s AND b.desired_number > %(after)s

-- name: numbers
SELECT id, desired_number FROM service WHERE id = ANY(%(services)s)

-- name: raise_service
-- The lock under which desired changes are numbered: whoever has it commits before the next number is made.
UPDATE service SET desired_number = desired_number + 1 WHERE id = %(service)s RETURNING desired_number

-- name: raise_breaker
WITH touched AS (INSERT INTO touched (breakers) VALUES (ARRAY[%(breaker)s]))
UPDATE breaker SET revision = revision + 1, desired_number = %(number)s, change = change + 1,
       updated_at = clock_timestamp()
WHERE id = %(breaker)s
RETURNING revision

-- name: due
-- Breakers whose override has run out, with their services, in the order in which they are to be locked.
SELECT b.id FROM override o JOIN breaker b ON b.id = o.breaker_id
WHERE o.ended_at IS NULL AND o.expires_at <= clock_timestamp()
ORDER BY b.service_id, b.id LIMIT 500

-- name: wishes
-- What is wished of the breakers of a service, where it changed after a number; times are what remains,
-- in seconds, by this clock. A wish that has run out is gone, whether or not its end is written yet.
SELECT b.id, b.name, b.revision, o.mode, o.reason, o.instances, o.excepted,
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

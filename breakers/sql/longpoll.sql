-- Agents that ask instead of holding a socket.

-- name: hear
-- An instance that asks, by its names, is heard: not more often than each 5 s, for the row's sake, not by whoever
-- no longer speaks for it, and not where it is to say hello first. Gives no row where there is no such service, and
-- the id 0 where there is no such instance; no breakers (null) where it never said which it has. A former name leads
-- to what bears another now, as in registry.sql.
WITH asked AS (
    SELECT coalesce(i.id, 0) AS id, s.id AS service_id, s.desired_number,
           coalesce(i.session, %(nobody)s) AS session, i.boot IS NOT NULL AS introduced,
           i.lost_at IS NULL AND i.retired_at IS NULL AS present
    FROM environment e
    JOIN service s ON s.id = coalesce(
        (SELECT id FROM service WHERE environment_id = e.id AND name = %(service)s),
        (SELECT target_id FROM former_name WHERE kind = 'service' AND parent_id = e.id AND name = %(service)s))
    LEFT JOIN instance i ON i.id = coalesce(
        (SELECT id FROM instance WHERE service_id = s.id AND name = %(instance)s),
        (SELECT target_id FROM former_name WHERE kind = 'instance' AND parent_id = s.id AND name = %(instance)s))
    WHERE e.name = %(environment)s
),
heard AS (
    UPDATE instance i SET last_seen = now(), connected = true, session = asked.session
    FROM asked
    WHERE i.id = asked.id AND asked.present AND asked.session IN (%(nobody)s, coalesce(%(held_by)s, asked.session))
      AND (i.last_seen < now() - interval '5 seconds' OR i.connected IS NOT TRUE OR i.session IS NULL)
)
SELECT id, service_id, desired_number, session, present,
       CASE WHEN introduced THEN ARRAY(SELECT breaker_id FROM breaker_instance WHERE instance_id = asked.id AND left_at IS NULL)
       END AS breakers
FROM asked

-- name: still_there
-- Those whose calls wait are heard; gives the instances for which that was not to be.
WITH waiting AS (SELECT * FROM unnest(%(instances)s::bigint[], %(sessions)s::uuid[]) AS a (id, session)),
heard AS (
    UPDATE instance SET last_seen = now(), connected = true
    WHERE id IN (
        SELECT i.id FROM instance i JOIN waiting ON i.id = waiting.id AND i.session = waiting.session
        WHERE i.lost_at IS NULL AND i.retired_at IS NULL
        ORDER BY i.id FOR UPDATE OF i)
    RETURNING id
)
SELECT id FROM waiting WHERE id NOT IN (SELECT id FROM heard)

-- name: breakers_inside
SELECT b.name, b.id FROM breaker_instance bi JOIN breaker b ON b.id = bi.breaker_id
WHERE bi.instance_id = %(instance)s AND bi.left_at IS NULL
UNION
SELECT said_as, breaker_id FROM breaker_instance
WHERE instance_id = %(instance)s AND said_as IS NOT NULL AND left_at IS NULL

-- name: words
-- What the instance is called now, and what it calls those of its breakers that are called otherwise now.
SELECT i.name, bi.breaker_id, bi.said_as
FROM instance i LEFT JOIN breaker_instance bi ON bi.instance_id = i.id AND bi.said_as IS NOT NULL
WHERE i.id = %(instance)s

-- name: note_words
UPDATE breaker_instance bi SET said_as = nullif(said.name, b.name)
FROM unnest(%(breakers)s::bigint[], %(names)s::text[]) AS said (breaker_id, name) JOIN breaker b ON b.id = said.breaker_id
WHERE bi.instance_id = %(instance)s AND bi.breaker_id = said.breaker_id
  AND bi.said_as IS DISTINCT FROM nullif(said.name, b.name)

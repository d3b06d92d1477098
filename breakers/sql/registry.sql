-- Rows are made on first sight, in name order, so that two writers cannot deadlock. Each statement
-- gives the ids of all that were asked for, made now or long there.

-- name: environments
WITH asked AS (SELECT DISTINCT name FROM unnest(%(names)s::text[]) AS name),
made AS (
    INSERT INTO environment (name) SELECT name FROM asked ORDER BY name
    ON CONFLICT DO NOTHING RETURNING id, name
)
SELECT id, name FROM made
UNION ALL SELECT e.id, e.name FROM environment e JOIN asked USING (name)

-- name: services
WITH asked AS (
    SELECT DISTINCT * FROM unnest(%(environments)s::bigint[], %(names)s::text[]) AS a (environment_id, name)
),
made AS (
    INSERT INTO service (environment_id, name) SELECT environment_id, name FROM asked ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING id, environment_id, name
)
SELECT id, environment_id, name FROM made
UNION ALL SELECT s.id, s.environment_id, s.name FROM service s JOIN asked USING (environment_id, name)

-- name: instances
WITH asked AS (
    SELECT DISTINCT * FROM unnest(%(services)s::bigint[], %(names)s::text[]) AS a (service_id, name)
),
made AS (
    INSERT INTO instance (service_id, name) SELECT service_id, name FROM asked ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING id, service_id, name
)
SELECT id, service_id, name FROM made
UNION ALL SELECT i.id, i.service_id, i.name FROM instance i JOIN asked USING (service_id, name)

-- name: breakers
WITH asked AS (
    SELECT DISTINCT * FROM unnest(%(services)s::bigint[], %(names)s::text[]) AS a (service_id, name)
),
made AS (
    INSERT INTO breaker (service_id, name) SELECT service_id, name FROM asked ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING id, service_id, name
)
SELECT id, service_id, name FROM made
UNION ALL SELECT b.id, b.service_id, b.name FROM breaker b JOIN asked USING (service_id, name)

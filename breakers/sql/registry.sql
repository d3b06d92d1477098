-- Rows are made on first sight, in name order, so that two writers cannot deadlock. What was made elsewhere
-- meanwhile is not given back by `make_…`, and found by looking again. A former name leads to what bears another
-- now: so whatever still reports under it goes on there.

-- name: find_environments
SELECT id, name FROM environment WHERE name = ANY(%(names)s)

-- name: make_environments
INSERT INTO environment (name) SELECT name FROM unnest(%(names)s::text[]) AS name ORDER BY name
ON CONFLICT DO NOTHING RETURNING id, name

-- name: find_services
SELECT t.id, t.environment_id, t.name FROM service t
JOIN unnest(%(environments)s::bigint[], %(names)s::text[]) AS a (environment_id, name) USING (environment_id, name)
UNION ALL
SELECT f.target_id, f.parent_id, f.name FROM former_name f
JOIN unnest(%(environments)s::bigint[], %(names)s::text[]) AS a (parent_id, name) USING (parent_id, name)
JOIN service t ON t.id = f.target_id
WHERE f.kind = 'service'

-- name: make_services
INSERT INTO service (environment_id, name, made_by_id)
SELECT * FROM unnest(%(environments)s::bigint[], %(names)s::text[], %(keys)s::bigint[]) ORDER BY 1, 2
ON CONFLICT DO NOTHING RETURNING id, environment_id, name

-- name: find_instances
SELECT t.id, t.service_id, t.name FROM instance t
JOIN unnest(%(services)s::bigint[], %(names)s::text[]) AS a (service_id, name) USING (service_id, name)
UNION ALL
SELECT f.target_id, f.parent_id, f.name FROM former_name f
JOIN unnest(%(services)s::bigint[], %(names)s::text[]) AS a (parent_id, name) USING (parent_id, name)
JOIN instance t ON t.id = f.target_id
WHERE f.kind = 'instance'

-- name: make_instances
INSERT INTO instance (service_id, name, made_by_id)
SELECT * FROM unnest(%(services)s::bigint[], %(names)s::text[], %(keys)s::bigint[]) ORDER BY 1, 2
ON CONFLICT DO NOTHING RETURNING id, service_id, name

-- name: find_breakers
SELECT t.id, t.service_id, t.name FROM breaker t
JOIN unnest(%(services)s::bigint[], %(names)s::text[]) AS a (service_id, name) USING (service_id, name)
UNION ALL
SELECT f.target_id, f.parent_id, f.name FROM former_name f
JOIN unnest(%(services)s::bigint[], %(names)s::text[]) AS a (parent_id, name) USING (parent_id, name)
JOIN breaker t ON t.id = f.target_id
WHERE f.kind = 'breaker'

-- name: make_breakers
-- Boards hear of them at once: what names a breaker need not say in which state it is.
WITH made AS (
    INSERT INTO breaker (service_id, name, made_by_id)
    SELECT * FROM unnest(%(services)s::bigint[], %(names)s::text[], %(keys)s::bigint[]) ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING id, service_id, name
),
touched AS (INSERT INTO touched (breakers) SELECT array_agg(id) FROM made HAVING count(*) > 0)
SELECT id, service_id, name FROM made

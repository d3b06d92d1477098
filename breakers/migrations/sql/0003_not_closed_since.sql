-- The beginning of the outage that a breaker instance is in: its first change after the last calm one, by the
-- order of states.Rank.
WITH ranked AS (
    SELECT e.breaker_id, e.instance_id, e.occurred_at, e.to_state IN ('closed', 'forced_closed', 'unknown') AS calm,
           row_number() OVER (
               PARTITION BY e.breaker_id, e.instance_id
               ORDER BY boot.first_at DESC NULLS LAST, e.boot COLLATE "C" DESC NULLS LAST, e.seq DESC NULLS LAST,
                        e.occurred_at DESC, e.origin DESC, e.event_id COLLATE "C" DESC) AS place
    FROM event e
    JOIN breaker_instance bi ON bi.breaker_id = e.breaker_id AND bi.instance_id = e.instance_id
        AND bi.state NOT IN ('closed', 'forced_closed', 'unknown')
    LEFT JOIN boot ON boot.instance_id = e.instance_id AND boot.boot = e.boot
    WHERE e.type = 'state_change'
),
outage AS (
    SELECT DISTINCT ON (breaker_id, instance_id) breaker_id, instance_id, occurred_at
    FROM ranked r
    WHERE place < coalesce((SELECT min(c.place) FROM ranked c
                            WHERE c.calm AND (c.breaker_id, c.instance_id) = (r.breaker_id, r.instance_id)),
                           'infinity'::float)
    ORDER BY breaker_id, instance_id, place DESC
)
UPDATE breaker_instance bi SET not_closed_since = outage.occurred_at
FROM outage WHERE bi.breaker_id = outage.breaker_id AND bi.instance_id = outage.instance_id;

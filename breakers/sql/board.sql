-- name: summaries
-- A breaker is closed since its last instance closed, and anything graver since its first one was so.
-- One row a breaker. Live = neither lost nor retired; `instances` counts the lost ones too, the retired never, nor those
-- that no longer have the breaker: one that nobody has any more has gone since the last of them left it. Rates are weighted by calls where calls are
-- known. Applied and pending count the live instances within the override's scope, against the revision that made it;
-- refused are those of them that reported why they could not, deaf those that are known by events alone and never
-- hear of it. Still forced are live agents that no override concerns, not yet or not any more, once anything was
-- wished of the breaker.
SELECT b.id, e.name AS environment, s.name AS service, b.name AS breaker, b.target, b.revision, b.change,
       b.updated_at, n.*, o.mode, o.reason, o.by_name, o.by_kind, o.expires_at, o.instances AS scope,
       o.excepted, o.created_at AS override_since,
       CASE WHEN n.instances = 0 THEN (
           SELECT max(least(bi.left_at, i.retired_at)) FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
           WHERE bi.breaker_id = b.id) END AS gone_since
FROM breaker b
JOIN service s ON s.id = b.service_id
JOIN environment e ON e.id = s.environment_id
LEFT JOIN override o ON o.breaker_id = b.id AND o.ended_at IS NULL
CROSS JOIN LATERAL (
    SELECT count(*)                                             AS instances,
           count(*) FILTER (WHERE live)                         AS live,
           count(*) FILTER (WHERE live AND NOT deaf)            AS agents,
           count(*) FILTER (WHERE live AND mute)                AS not_connected,
           count(*) FILTER (WHERE state = 'open')               AS open,
           count(*) FILTER (WHERE state = 'forced_open')        AS forced_open,
           count(*) FILTER (WHERE state = 'half_open')          AS half_open,
           count(*) FILTER (WHERE state = 'forced_closed')      AS forced_closed,
           count(*) FILTER (WHERE state = 'closed')             AS closed,
           count(*) FILTER (WHERE state = 'unknown')            AS unknown,
           count(*) FILTER (WHERE live AND state = 'unknown')   AS untold,
           min(since) FILTER (WHERE state = 'open')             AS open_since,
           min(since) FILTER (WHERE state = 'forced_open')      AS forced_open_since,
           min(since) FILTER (WHERE state = 'half_open')        AS half_open_since,
           min(since) FILTER (WHERE state = 'forced_closed')    AS forced_closed_since,
           max(since) FILTER (WHERE state = 'closed')           AS closed_since,
           min(since) FILTER (WHERE state = 'unknown')          AS unknown_since,
           min(not_closed_since) FILTER (WHERE live)            AS not_closed_since,
           min(probe_due_at) FILTER (WHERE state = 'open')      AS probe_due_at,
           count(*) FILTER (WHERE natural_state = 'open' AND state IN ('forced_open', 'forced_closed'))
                                                                AS naturally_open,
           CASE WHEN sum(calls) FILTER (WHERE rate IS NOT NULL) > 0
                THEN sum(rate * calls) / sum(calls) FILTER (WHERE rate IS NOT NULL)
                ELSE avg(rate) END                              AS failure_rate,
           -- Of what calls the rate is, where all instances say the same of theirs.
           CASE WHEN min(rate_of) = max(rate_of) THEN nullif(min(rate_of), 'now') END AS rate_of,
           -- One call in a tenth of a second, told with a state change, is not ten in each.
           sum(calls / greatest(span, 1))                       AS calls_per_second,
           -- For how many seconds these say what is so, if nothing else is told.
           extract(epoch FROM min(told_at) FILTER (WHERE coalesce(rate, calls) IS NOT NULL)
                                  + make_interval(secs => %(rates_count_for_s)s) - now())::float            AS rated_for_s,
           count(*) FILTER (WHERE live AND inside AND applied_revision >= o.revision) AS applied,
           count(*) FILTER (WHERE live AND inside AND applied_revision < o.revision)  AS pending,
           count(*) FILTER (WHERE live AND inside AND applied_revision < refused_revision
                                  AND refused_revision >= o.revision)                 AS refused,
           count(*) FILTER (WHERE live AND inside AND deaf)                           AS deaf,
           -- Lost ones too: they are known.
           count(*) FILTER (WHERE inside)                                             AS concerned,
           count(*) FILTER (WHERE live AND NOT deaf AND b.revision > 0 AND state IN ('forced_open', 'forced_closed')
                                  AND (o.mode IS NULL OR NOT inside))                 AS still_forced
    FROM (
        SELECT i.lost_at IS NULL AS live,
               CASE WHEN i.lost_at IS NULL THEN bi.state ELSE 'unknown' END AS state,
               bi.natural_state, bi.since, bi.not_closed_since, bi.probe_due_at, bi.applied_revision,
               bi.refused_revision,
               (o.instances IS NULL OR i.name = ANY(o.instances))
                   AND NOT i.name = ANY(coalesce(o.excepted, '{}')) AS inside,
               i.connected IS NULL AS deaf, i.connected IS FALSE AS mute, m.calls, m.span, said.at AS told_at,
               CASE WHEN i.lost_at IS NOT NULL OR coalesce(m.rate, m.failed) IS NULL THEN NULL
                    -- All that is let through in an outage is trial calls.
                    WHEN bi.state IN ('open', 'half_open')
                         AND bi.metrics_at - make_interval(secs => m.span) >= bi.not_closed_since THEN 'trials'
                    -- Counted before it closed, and nothing since.
                    WHEN bi.state IN ('closed', 'forced_closed') AND bi.metrics_at <= bi.since THEN 'before'
                    ELSE 'now' END AS rate_of,
               CASE WHEN i.lost_at IS NULL
                    THEN coalesce(m.rate, CASE WHEN m.calls > 0 THEN least(m.failed * 100 / m.calls, 100) END) END AS rate
        FROM breaker_instance bi
        JOIN instance i ON i.id = bi.instance_id AND i.retired_at IS NULL
        CROSS JOIN LATERAL (
            -- By our clock. One so far off that no event with its times is taken (validate.py) is no clock, and its
            -- events have our times.
            SELECT at, CASE WHEN at > now() - make_interval(secs => %(rates_count_for_s)s) THEN bi.metrics END AS metrics
            FROM (SELECT bi.metrics_at + make_interval(secs =>
                    CASE WHEN i.clock_behind_s BETWEEN -300 AND 604800 THEN i.clock_behind_s ELSE 0 END) AS at) told
        ) said
        CROSS JOIN LATERAL (
            -- By way of numeric: a float so small that dividing by it overflows must not fail the board.
            SELECT round((said.metrics ->> 'failure_rate')::numeric, 6)::float AS rate,
                   (said.metrics ->> 'failed')::float AS failed,
                   CASE WHEN i.lost_at IS NULL THEN (said.metrics ->> 'calls')::float END AS calls,
                   greatest(round((said.metrics ->> 'window')::numeric, 6), 0.001)::float AS span
        ) m
        WHERE bi.breaker_id = b.id AND bi.left_at IS NULL
    ) per_instance
) n

-- name: changed_since
-- Breakers changed by transactions that the last reading could not see whole, and where to read on from. Without a
-- change number: it is gone.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text, changed.id, b.change
FROM (VALUES (%(xid)s::xid8)) AS since (xid)
LEFT JOIN LATERAL (SELECT DISTINCT unnest(breakers) AS id FROM touched t WHERE t.xid >= since.xid) changed ON true
LEFT JOIN breaker b ON b.id = changed.id

-- name: forget_touched
DELETE FROM touched WHERE at < now() - interval '5 minutes'

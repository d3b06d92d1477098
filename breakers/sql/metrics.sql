-- Snapshots summed up; the arithmetic is the function `measured` (migration 0006).

-- name: claim
-- One process at a time; nothing if another is at it.
SELECT received_until FROM metric_progress FOR UPDATE SKIP LOCKED

-- name: settled_until
-- Whatever was received before this is committed: a row's `received_at` is the beginning of its transaction.
-- A second for a transaction that has begun and not said so yet; ten minutes at most, for no writer takes that
-- long, and somebody else's forgotten transaction must not hold up the sums.
SELECT greatest(
    least(clock_timestamp() - interval '1 second', min(xact_start)),
    clock_timestamp() - interval '10 minutes')
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()

-- name: received
-- The span in which that happened which was received in a span; nulls if nothing was.
SELECT min(occurred_at), max(occurred_at) FROM snapshot WHERE received_at >= %(since)s AND received_at < %(until)s

-- name: next_received
-- Where reading on is worth while after a time in which nothing came.
SELECT min(received_at) FROM snapshot WHERE received_at >= %(since)s

-- name: proceed
UPDATE metric_progress SET received_until = %(until)s

-- name: roll_minutes
-- Sums up afresh every minute of which a snapshot received in the span may have changed the sum: those that it
-- speaks for itself, and those that later ones of its instance spoke for until it came.
WITH first AS (
    SELECT DISTINCT ON (breaker_id, instance_id, minute) breaker_id, instance_id, event_id, occurred_at, span
    FROM (
        SELECT breaker_id, instance_id, event_id, occurred_at, date_bin('1 minute', occurred_at, 'epoch') AS minute,
               make_interval(secs => least((metrics ->> 'window')::numeric, 3600)::float) AS span
        FROM snapshot
        WHERE received_at >= %(since)s AND received_at < %(until)s AND metrics IS NOT NULL
    ) came
    ORDER BY breaker_id, instance_id, minute, occurred_at, event_id
),
touched AS (
    SELECT DISTINCT f.breaker_id, minute
    FROM first f
    LEFT JOIN LATERAL (
        SELECT s.occurred_at FROM snapshot s
        WHERE s.breaker_id = f.breaker_id AND s.instance_id = f.instance_id AND s.metrics IS NOT NULL
          AND s.occurred_at >= f.occurred_at - interval '1 hour' AND s.occurred_at < f.occurred_at
        ORDER BY s.occurred_at DESC LIMIT 1
    ) before ON true
    LEFT JOIN LATERAL (
        SELECT min(s.occurred_at - make_interval(secs => least((s.metrics ->> 'window')::numeric, 3600)::float)) AS begun
        FROM snapshot s
        WHERE s.breaker_id = f.breaker_id AND s.instance_id = f.instance_id AND s.metrics IS NOT NULL
          AND s.occurred_at > f.occurred_at AND s.occurred_at <= f.occurred_at + interval '1 hour'
    ) after ON true
    CROSS JOIN LATERAL generate_series(
        date_bin('1 minute', greatest(before.occurred_at, least(f.occurred_at - f.span, after.begun, f.occurred_at)), 'epoch'),
        f.occurred_at,
        '1 minute'
    ) AS minute
),
runs AS (
    SELECT breaker_id, min(minute) AS lo, max(minute) + interval '1 minute' AS hi
    FROM (
        SELECT breaker_id, minute,
               minute - interval '1 minute' * row_number() OVER (PARTITION BY breaker_id ORDER BY minute) AS run
        FROM touched
    ) numbered
    GROUP BY breaker_id, run
),
sums AS MATERIALIZED (
    SELECT m.* FROM runs CROSS JOIN LATERAL measured(runs.breaker_id, runs.lo, runs.hi, '1 minute') m
),
gone AS (
    DELETE FROM metric_minute m USING touched t
    WHERE m.breaker_id = t.breaker_id AND m.at = t.minute
      AND NOT EXISTS (SELECT FROM sums WHERE sums.breaker_id = t.breaker_id AND sums.at = t.minute)
),
due AS (
    INSERT INTO metric_hour_due SELECT DISTINCT breaker_id, date_bin('1 hour', minute, 'epoch') FROM touched
    ON CONFLICT DO NOTHING
)
INSERT INTO metric_minute SELECT * FROM sums
ON CONFLICT (breaker_id, at) DO UPDATE SET
    covered = EXCLUDED.covered, calls = EXCLUDED.calls, failed = EXCLUDED.failed, failed_of = EXCLUDED.failed_of,
    slow = EXCLUDED.slow, slow_of = EXCLUDED.slow_of, not_permitted = EXCLUDED.not_permitted,
    p50_lowest = EXCLUDED.p50_lowest, p50_highest = EXCLUDED.p50_highest, p95_lowest = EXCLUDED.p95_lowest,
    p95_highest = EXCLUDED.p95_highest, p99_lowest = EXCLUDED.p99_lowest, p99_highest = EXCLUDED.p99_highest

-- name: roll_span
-- Sums up afresh all minutes of some breakers in a span, for snapshots that were not received but brought.
WITH sums AS MATERIALIZED (
    SELECT m.* FROM unnest(%(breakers)s::bigint[]) AS b (id)
    CROSS JOIN LATERAL measured(b.id, %(since)s, %(until)s, '1 minute') m
),
due AS (
    INSERT INTO metric_hour_due SELECT DISTINCT breaker_id, date_bin('1 hour', at, 'epoch') FROM sums
    ON CONFLICT DO NOTHING
)
INSERT INTO metric_minute SELECT * FROM sums
ON CONFLICT (breaker_id, at) DO UPDATE SET
    covered = EXCLUDED.covered, calls = EXCLUDED.calls, failed = EXCLUDED.failed, failed_of = EXCLUDED.failed_of,
    slow = EXCLUDED.slow, slow_of = EXCLUDED.slow_of, not_permitted = EXCLUDED.not_permitted,
    p50_lowest = EXCLUDED.p50_lowest, p50_highest = EXCLUDED.p50_highest, p95_lowest = EXCLUDED.p95_lowest,
    p95_highest = EXCLUDED.p95_highest, p99_lowest = EXCLUDED.p99_lowest, p99_highest = EXCLUDED.p99_highest

-- name: hours_due
SELECT min(at), max(at) FROM metric_hour_due WHERE at < %(before)s

-- name: roll_hours
-- Some of the hours that are over and due; how many there were. Of an hour whose minutes may be gone already, a sum that
-- covers less replaces nothing.
WITH due AS (
    DELETE FROM metric_hour_due
    WHERE (breaker_id, at) IN (
        SELECT breaker_id, at FROM metric_hour_due WHERE at < %(before)s
        ORDER BY breaker_id, at LIMIT %(most)s FOR UPDATE SKIP LOCKED)
    RETURNING breaker_id, at
),
made AS (
    INSERT INTO metric_hour AS known
    SELECT due.breaker_id, due.at, sum(covered), sum(calls), sum(failed), sum(failed_of), sum(slow), sum(slow_of),
           sum(not_permitted), min(p50_lowest), max(p50_highest), min(p95_lowest), max(p95_highest),
           min(p99_lowest), max(p99_highest)
    FROM due
    JOIN metric_minute m ON m.breaker_id = due.breaker_id AND m.at >= due.at AND m.at < due.at + interval '1 hour'
    GROUP BY 1, 2
    ON CONFLICT (breaker_id, at) DO UPDATE SET
        covered = EXCLUDED.covered, calls = EXCLUDED.calls, failed = EXCLUDED.failed, failed_of = EXCLUDED.failed_of,
        slow = EXCLUDED.slow, slow_of = EXCLUDED.slow_of, not_permitted = EXCLUDED.not_permitted,
        p50_lowest = EXCLUDED.p50_lowest, p50_highest = EXCLUDED.p50_highest, p95_lowest = EXCLUDED.p95_lowest,
        p95_highest = EXCLUDED.p95_highest, p99_lowest = EXCLUDED.p99_lowest, p99_highest = EXCLUDED.p99_highest
        WHERE EXCLUDED.covered >= known.covered OR known.at >= %(whole_from)s
)
SELECT count(*) FROM due

-- name: points_of_snapshots
SELECT * FROM measured(%(breaker)s, %(since)s, %(until)s, %(step)s) ORDER BY at

-- name: points_of_minutes
SELECT date_bin(%(step)s, at, 'epoch') AS at, sum(covered) AS covered, sum(calls) AS calls, sum(failed) AS failed,
       sum(failed_of) AS failed_of, sum(slow) AS slow, sum(slow_of) AS slow_of, sum(not_permitted) AS not_permitted,
       min(p50_lowest) AS p50_lowest, max(p50_highest) AS p50_highest, min(p95_lowest) AS p95_lowest,
       max(p95_highest) AS p95_highest, min(p99_lowest) AS p99_lowest, max(p99_highest) AS p99_highest
FROM metric_minute WHERE breaker_id = %(breaker)s AND at >= %(since)s AND at < %(until)s GROUP BY 1 ORDER BY 1

-- name: points_of_hours
-- Hours that are due are summed up from their minutes here.
SELECT date_bin(%(step)s, at, 'epoch') AS at, sum(covered) AS covered, sum(calls) AS calls, sum(failed) AS failed,
       sum(failed_of) AS failed_of, sum(slow) AS slow, sum(slow_of) AS slow_of, sum(not_permitted) AS not_permitted,
       min(p50_lowest) AS p50_lowest, max(p50_highest) AS p50_highest, min(p95_lowest) AS p95_lowest,
       max(p95_highest) AS p95_highest, min(p99_lowest) AS p99_lowest, max(p99_highest) AS p99_highest
FROM (
    SELECT h.* FROM metric_hour h
    WHERE h.breaker_id = %(breaker)s AND h.at >= %(since)s AND h.at < %(until)s
      AND NOT EXISTS (SELECT FROM metric_hour_due d WHERE d.breaker_id = h.breaker_id AND d.at = h.at)
    UNION ALL
    SELECT m.* FROM metric_hour_due d
    JOIN metric_minute m ON m.breaker_id = d.breaker_id AND m.at >= d.at AND m.at < d.at + interval '1 hour'
    WHERE d.breaker_id = %(breaker)s AND d.at >= %(since)s AND d.at < %(until)s
) hours
GROUP BY 1 ORDER BY 1

-- name: rolled_until
SELECT received_until FROM metric_progress

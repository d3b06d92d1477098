-- Snapshots summed up per breaker, by the minute and by the hour. Not per breaker instance: 100,000 breakers
-- make 144 million rows of 150 bytes a day by the minute, and with twelve instances each they would make
-- twelve times as many. No foreign keys, for the reasons of history.

CREATE TABLE metric_minute (
    breaker_id    bigint           NOT NULL,
    at            timestamptz      NOT NULL,
    covered       double precision NOT NULL,
    calls         double precision,
    failed        double precision,
    failed_of     double precision,
    slow          double precision,
    slow_of       double precision,
    not_permitted double precision,
    p50_lowest    double precision,
    p50_highest   double precision,
    p95_lowest    double precision,
    p95_highest   double precision,
    p99_lowest    double precision,
    p99_highest   double precision,
    PRIMARY KEY (breaker_id, at)
) PARTITION BY RANGE (at);

CREATE TABLE metric_hour (LIKE metric_minute INCLUDING INDEXES) PARTITION BY RANGE (at);

-- Hours in which a minute has changed since they were summed up.
CREATE TABLE metric_hour_due (
    breaker_id bigint      NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (breaker_id, at)
);

-- Every snapshot received before this is in the minutes.
CREATE TABLE metric_progress (
    single         boolean PRIMARY KEY DEFAULT true CHECK (single),
    received_until timestamptz NOT NULL
);
INSERT INTO metric_progress (received_until) SELECT coalesce(min(received_at), now()) FROM snapshot;

-- Finds what was received in a minute, whenever it happened. Rows lie in the order of their receipt, so that
-- a few bytes for each quarter of a megabyte are enough, and the writer feels nothing of it.
CREATE INDEX snapshot_received ON snapshot USING brin (received_at) WITH (pages_per_range = 32);

-- What the snapshots of a breaker say of each bucket of `step` from `lo` up to, not including, `hi`.
--
-- A snapshot speaks for the time from its instance's previous one on, and for its window at most (of a window
-- longer than an hour: for the last hour). So windows that overlap count nothing twice, and gaps count nothing.
-- Its counts are taken to be spread evenly over its window, and each bucket gets its share of them; `covered`
-- is the time spoken for, in instance-seconds. Without a window nobody knows what the counts count, and they are
-- left out. `failed_of` are the calls of those that say how many of them failed, as a count or as a rate. By way
-- of numeric: a float too small to reckon with must not fail the sum.
CREATE FUNCTION measured(breaker bigint, lo timestamptz, hi timestamptz, step interval)
RETURNS SETOF metric_minute LANGUAGE sql STABLE AS $$
    SELECT breaker, bucket, sum(part),
           sum(calls * part / span), sum(bad * part / span), sum(calls * part / span) FILTER (WHERE bad IS NOT NULL),
           sum(slow * part / span), sum(calls * part / span) FILTER (WHERE slow IS NOT NULL),
           sum(refused * part / span),
           min(p50), max(p50), min(p95), max(p95), min(p99), max(p99)
    FROM (
        SELECT bucket, span, calls, refused, p50, p95, p99,
               coalesce(failed, calls * failure_rate / 100) + 0 * calls AS bad,
               coalesce(slow, calls * slow_rate / 100) + 0 * calls AS slow,
               coalesce(greatest(extract(epoch FROM least(occurred_at, bucket + step) - greatest(begun, bucket)), 0), 0)::float AS part
        FROM (
            SELECT *, CASE WHEN span IS NULL THEN occurred_at
                           ELSE greatest(previous, occurred_at - make_interval(secs => least(span, 3600))) END AS begun
            FROM (
                SELECT s.occurred_at, m.*,
                       lag(s.occurred_at) OVER (PARTITION BY s.instance_id ORDER BY s.occurred_at, s.event_id) AS previous
                FROM snapshot s
                CROSS JOIN LATERAL (
                    SELECT nullif(round((s.metrics ->> 'window')::numeric, 6), 0)::float      AS span,
                           (s.metrics ->> 'calls')::float                                      AS calls,
                           (s.metrics ->> 'failed')::float                                     AS failed,
                           (s.metrics ->> 'slow')::float                                       AS slow,
                           (s.metrics ->> 'not_permitted')::float                              AS refused,
                           round((s.metrics ->> 'failure_rate')::numeric, 6)::float            AS failure_rate,
                           round((s.metrics ->> 'slow_rate')::numeric, 6)::float               AS slow_rate,
                           round((s.metrics ->> 'p50_ms')::numeric, 6)::float                  AS p50,
                           round((s.metrics ->> 'p95_ms')::numeric, 6)::float                  AS p95,
                           round((s.metrics ->> 'p99_ms')::numeric, 6)::float                  AS p99
                ) m
                WHERE s.breaker_id = breaker AND s.metrics IS NOT NULL
                  -- Whatever came before `lo` ends before it; what comes after `hi` may reach back an hour.
                  AND s.occurred_at >= lo AND s.occurred_at < hi + interval '1 hour'
            ) followed
        ) spoken
        CROSS JOIN LATERAL generate_series(
            date_bin(step, greatest(begun, lo), 'epoch'),
            -- At a bucket's very beginning ends what belongs to the one before.
            CASE WHEN begun < occurred_at THEN least(occurred_at, hi) - interval '1 microsecond' ELSE occurred_at END,
            step
        ) AS bucket
        WHERE bucket >= lo AND bucket < hi
    ) shares
    GROUP BY bucket
$$;

-- As ensure_partition, for the sums: minutes by the day, hours by the month.
CREATE FUNCTION ensure_metric_partition(parent text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    unit  text := CASE parent WHEN 'metric_minute' THEN 'day' WHEN 'metric_hour' THEN 'month' END;
    first timestamptz;
    name  text;
BEGIN
    IF unit IS NULL THEN
        RAISE EXCEPTION 'no partitioned table of sums is named %', parent;
    END IF;
    first := date_trunc(unit, at, 'UTC');
    name := parent || '_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('panelboard.partitions'));
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        name, parent, first, ((first AT TIME ZONE 'UTC') + ('1 ' || unit)::interval) AT TIME ZONE 'UTC'
    );
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION ensure_metric_partition(text, timestamptz) FROM PUBLIC;

-- Drops the partitions that hold nothing from `before` on; how many.
CREATE FUNCTION drop_metric_partitions(parent text, before timestamptz) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    unit  text := CASE parent WHEN 'metric_minute' THEN 'day' WHEN 'metric_hour' THEN 'month' END;
    edge  text := parent || '_' || to_char(date_trunc(unit, before, 'UTC') AT TIME ZONE 'UTC', 'YYYYMMDD');
    name  text;
    count integer := 0;
BEGIN
    IF unit IS NULL THEN
        RAISE EXCEPTION 'no partitioned table of sums is named %', parent;
    END IF;
    FOR name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname < edge COLLATE "C" ORDER BY 1
    LOOP
        EXECUTE format('DROP TABLE %I', name);
        count := count + 1;
    END LOOP;
    RETURN count;
END $$;
REVOKE ALL ON FUNCTION drop_metric_partitions(text, timestamptz) FROM PUBLIC;

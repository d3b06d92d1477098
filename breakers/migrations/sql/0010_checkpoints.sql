-- History that lasts: what is dropped leaves a checkpoint behind. docs/decisions/0007 says why it is so.

-- Each breaker instance's state at history's edge: the highest-ranking state change of all that was dropped, with
-- `since` and `not_closed_since` as they were then. From then on history means events plus checkpoints.
CREATE TABLE checkpoint (
    breaker_id       bigint       NOT NULL,
    instance_id      bigint       NOT NULL,
    to_state         varchar(13)  NOT NULL,
    natural_state    varchar(13),
    since            timestamptz  NOT NULL,
    not_closed_since timestamptz,
    cause            varchar(10)  NOT NULL,
    reason           varchar(64),
    detail           text,
    boot             varchar(200),
    seq              bigint,
    occurred_at      timestamptz  NOT NULL,
    origin           varchar(6)   NOT NULL,
    event_id         varchar(200) NOT NULL,
    PRIMARY KEY (breaker_id, instance_id)
);
CREATE INDEX checkpoint_by_instance ON checkpoint (instance_id);

-- The earliest state change of each boot among all that was dropped, for boots are ranked by it.
CREATE TABLE checkpoint_boot (
    instance_id bigint       NOT NULL,
    boot        varchar(200) NOT NULL,
    first_at    timestamptz  NOT NULL,
    PRIMARY KEY (instance_id, boot)
);

-- Before `at` there are only checkpoints; null while nothing was dropped.
CREATE TABLE history_edge (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    at     timestamptz
);
INSERT INTO history_edge DEFAULT VALUES;

-- Breaker instances of which the order of ranks is not the order of times: clocks that jumped, events that were
-- sent late under a lower number. Of all others the latest change by time is the highest-ranking one.
CREATE TABLE disorder (
    breaker_id  bigint NOT NULL,
    instance_id bigint NOT NULL,
    PRIMARY KEY (breaker_id, instance_id)
);

-- All that history says of states. A checkpoint stands for everything that ranks below it.
CREATE VIEW state_history AS
SELECT e.breaker_id, e.instance_id, e.to_state, e.natural_state, e.occurred_at AS since,
       e.occurred_at AS not_closed_since, e.cause, e.reason, e.detail, e.boot, boot.first_at AS boot_at, e.seq,
       e.occurred_at, e.origin, e.event_id, false AS is_checkpoint
FROM event e
LEFT JOIN boot ON boot.instance_id = e.instance_id AND boot.boot = e.boot
WHERE e.type = 'state_change'
UNION ALL
SELECT c.breaker_id, c.instance_id, c.to_state, c.natural_state, c.since,
       c.not_closed_since, c.cause, c.reason, c.detail, c.boot, boot.first_at, c.seq,
       c.occurred_at, c.origin, c.event_id, true
FROM checkpoint c
LEFT JOIN boot ON boot.instance_id = c.instance_id AND boot.boot = c.boot;

-- What a breaker instance is, as the program's `Held`; `disordered` where ranks and times disagree anywhere.
CREATE TYPE held_state AS (
    breaker_id bigint, instance_id bigint, state varchar, natural_state varchar, since timestamptz,
    not_closed_since timestamptz, cause varchar, reason varchar, detail text, boot varchar, boot_at timestamptz,
    seq bigint, at timestamptz, origin varchar, event_id varchar, disordered boolean);

-- `states.derive` over sets: the state that history leads to, for each instance of `breakers`. Of events, those that
-- had occurred at `known`; and nothing that ranks above the highest of what had occurred before `edge`. Both may be
-- infinity. Checkpoints always count.
CREATE FUNCTION derived_states(breakers bigint[], known timestamptz, edge timestamptz) RETURNS SETOF held_state
LANGUAGE sql STABLE AS $$
    WITH ranked AS (
        SELECT h.*, h.to_state IN ('closed', 'forced_closed', 'unknown') AS calm,
               row_number() OVER (PARTITION BY h.breaker_id, h.instance_id
                   ORDER BY coalesce(h.boot_at, '-infinity') DESC, coalesce(h.boot, '') COLLATE "C" DESC,
                            coalesce(h.seq, -1) DESC, h.occurred_at DESC, h.origin DESC, h.event_id COLLATE "C" DESC,
                            h.is_checkpoint DESC) AS place
        FROM state_history h
        WHERE h.breaker_id = ANY(breakers) AND (h.is_checkpoint OR h.occurred_at <= known)
    ),
    numbered AS (
        SELECT *, occurred_at > lag(occurred_at) OVER down AS out_of_order,
               count(*) FILTER (WHERE is_checkpoint OR occurred_at < edge) OVER down AS reached,
               count(*) FILTER (WHERE is_checkpoint) OVER down AS checkpoints
        FROM ranked
        WINDOW down AS (PARTITION BY breaker_id, instance_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    ),
    judged AS (
        SELECT *, bool_or(out_of_order) OVER (PARTITION BY breaker_id, instance_id) AS any_disorder FROM numbered
    ),
    compared AS (
        SELECT *, row_number() OVER down AS nth, to_state <> lag(to_state) OVER down AS changes,
               count(*) FILTER (WHERE calm) OVER down AS calms
        FROM judged
        WHERE reached > 0 AND (checkpoints = 0 OR is_checkpoint)
        WINDOW down AS (PARTITION BY breaker_id, instance_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    ),
    counted AS (
        SELECT *, count(*) FILTER (WHERE changes) OVER down AS runs
        FROM compared
        WINDOW down AS (PARTITION BY breaker_id, instance_id ORDER BY place ROWS UNBOUNDED PRECEDING)
    ),
    ended AS (
        SELECT *, lead(runs, 1, 1::bigint) OVER down > 0 AS last_of_run,
               lead(calms, 1, 1::bigint) OVER down > 0 AS last_of_outage
        FROM counted
        WINDOW down AS (PARTITION BY breaker_id, instance_id ORDER BY place)
    )
    SELECT d.breaker_id, d.instance_id, d.to_state, d.natural_state, d.run_since,
           CASE WHEN NOT d.calm THEN d.outage_since END,
           d.cause, d.reason, d.detail, d.boot, d.boot_at, d.seq, d.occurred_at, d.origin, d.event_id, coalesce(d.any_disorder, false)
    FROM (
        SELECT *, max(since) FILTER (WHERE runs = 0 AND last_of_run) OVER pair AS run_since,
               max(not_closed_since) FILTER (WHERE calms = 0 AND last_of_outage) OVER pair AS outage_since
        FROM ended
        WINDOW pair AS (PARTITION BY breaker_id, instance_id)
    ) d
    WHERE d.nth = 1
$$;

-- The changes of one breaker instance at one instant, highest rank first.
CREATE FUNCTION changes_at(breaker bigint, instance bigint, instant timestamptz) RETURNS SETOF state_history
LANGUAGE sql STABLE AS $$
    SELECT * FROM state_history h
    WHERE h.breaker_id = breaker AND h.instance_id = instance AND h.occurred_at = instant
    ORDER BY h.boot_at DESC NULLS LAST, h.boot COLLATE "C" DESC NULLS LAST, h.seq DESC NULLS LAST, h.origin DESC,
             h.event_id COLLATE "C" DESC, h.is_checkpoint DESC
$$;

-- What `derived_states` says of one breaker instance. Where ranks and times agree, the index by time leads from the
-- last change back to where the run, and the outage, began, and nothing older is read. To plan for each call anew, with
-- all partitions, took twenty times as long as the answer.
CREATE FUNCTION state_at(breaker bigint, instance bigint, instant timestamptz) RETURNS SETOF held_state
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    edge    checkpoint;
    latest  timestamptz;
    top     state_history;
    other   timestamptz;
    earliest timestamptz;
    held    held_state;
BEGIN
    SELECT * INTO edge FROM checkpoint c WHERE c.breaker_id = breaker AND c.instance_id = instance;
    edge.occurred_at := coalesce(edge.occurred_at, '-infinity');
    IF EXISTS (SELECT FROM disorder d WHERE d.breaker_id = breaker AND d.instance_id = instance)
        OR EXISTS (SELECT FROM event e WHERE e.breaker_id = breaker AND e.instance_id = instance
                   AND e.type = 'state_change' AND e.occurred_at = edge.occurred_at) THEN
        RETURN QUERY SELECT * FROM derived_states(ARRAY[breaker], instant, 'infinity') d WHERE d.instance_id = instance;
        RETURN;
    END IF;
    SELECT max(e.occurred_at) INTO latest FROM event e
    WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
      AND e.occurred_at > edge.occurred_at AND e.occurred_at <= instant;
    IF latest IS NULL THEN
        RETURN QUERY SELECT * FROM derived_states(ARRAY[breaker], instant, 'infinity') d
        WHERE d.instance_id = instance;
        RETURN;
    END IF;
    SELECT * INTO top FROM changes_at(breaker, instance, latest) LIMIT 1;
    SELECT min(e.occurred_at) INTO earliest FROM event e
    WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
      AND e.occurred_at > edge.occurred_at;
    held := (breaker, instance, top.to_state, top.natural_state, NULL, NULL, top.cause, top.reason, top.detail, top.boot,
             top.boot_at, top.seq, top.occurred_at, top.origin, top.event_id, false);

    SELECT max(e.occurred_at) INTO other FROM event e
    WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
      AND e.occurred_at > edge.occurred_at AND e.occurred_at <= latest AND e.to_state <> top.to_state;
    held.since := CASE
        WHEN other IS NULL THEN CASE WHEN edge.to_state = top.to_state THEN edge.since ELSE earliest END
        WHEN (SELECT c.to_state = top.to_state FROM changes_at(breaker, instance, other) c LIMIT 1) THEN other
        ELSE (SELECT min(e.occurred_at) FROM event e
              WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
                AND e.occurred_at > other) END;
    IF top.to_state NOT IN ('closed', 'forced_closed', 'unknown') THEN
        SELECT max(e.occurred_at) INTO other FROM event e
        WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
          AND e.occurred_at > edge.occurred_at AND e.occurred_at <= latest
          AND e.to_state IN ('closed', 'forced_closed', 'unknown');
        held.not_closed_since := CASE
            WHEN other IS NULL THEN coalesce(edge.not_closed_since, earliest)
            WHEN (SELECT c.to_state NOT IN ('closed', 'forced_closed', 'unknown')
                  FROM changes_at(breaker, instance, other) c LIMIT 1) THEN other
            ELSE (SELECT min(e.occurred_at) FROM event e
                  WHERE e.breaker_id = breaker AND e.instance_id = instance AND e.type = 'state_change'
                    AND e.occurred_at > other) END;
    END IF;
    RETURN NEXT held;
END $$;

INSERT INTO disorder
SELECT breaker_id, instance_id FROM derived_states((SELECT array_agg(id) FROM breaker), 'infinity', 'infinity')
WHERE disordered;

-- Drops the oldest partition of `parent` (event or snapshot) that lies wholly before `before`; its name, or null
-- where there is none, or another process is at it. What is dropped of events goes into the checkpoints first, in
-- the same transaction. Runs with the rights of the tables' owner, who alone may drop.
--
-- Until all is ready, only writing into the old partition waits. Dropping it needs its parent for an instant: whoever
-- keeps that busy for longer than the time-out makes this fail, and it is tried again an hour later.
CREATE FUNCTION drop_oldest_partition(parent text, before timestamptz) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '900ms' AS $$
DECLARE
    unit      text := CASE parent WHEN 'event' THEN 'week' WHEN 'snapshot' THEN 'day' END;
    partition text;
    ends      timestamptz;
    breakers  bigint[];
    tangled   bigint[];
BEGIN
    IF unit IS NULL THEN
        RAISE EXCEPTION 'no partitioned history table is named %', parent;
    END IF;
    IF parent = 'event' AND before > now() - interval '7 days' THEN
        RAISE EXCEPTION 'events of the last 7 days are kept: they may still come';
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('panelboard.drop_oldest_partition')) THEN
        RETURN NULL;
    END IF;
    SELECT min(c.relname::text COLLATE "C") INTO partition
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(quote_ident(parent)) AND c.relname ~ ('^' || parent || '_[0-9]{8}$');
    ends := (to_date(right(partition, 8), 'YYYYMMDD') + ('1 ' || unit)::interval) AT TIME ZONE 'UTC';
    IF partition IS NULL OR ends > before THEN
        RETURN NULL;
    END IF;
    IF parent = 'event' THEN
        EXECUTE format('LOCK TABLE %I IN SHARE MODE', partition);
        SELECT array_agg(DISTINCT breaker_id) INTO breakers
        FROM event WHERE occurred_at < ends AND type = 'state_change';
        SELECT array_agg(DISTINCT breaker_id) INTO tangled
        FROM disorder WHERE breaker_id = ANY(breakers);
        INSERT INTO checkpoint AS known
        SELECT d.breaker_id, d.instance_id, d.state, d.natural_state, d.since, d.not_closed_since, d.cause, d.reason,
               d.detail, d.boot, d.seq, d.at, d.origin, d.event_id
        FROM (
            SELECT * FROM derived_states(breakers, ends - interval '1 microsecond', 'infinity') one
            WHERE one.breaker_id <> ALL(coalesce(tangled, '{}'))
            UNION ALL
            SELECT * FROM derived_states(tangled, 'infinity', ends)
        ) d
        ON CONFLICT (breaker_id, instance_id) DO UPDATE SET
            to_state = EXCLUDED.to_state, natural_state = EXCLUDED.natural_state, since = EXCLUDED.since,
            not_closed_since = EXCLUDED.not_closed_since, cause = EXCLUDED.cause, reason = EXCLUDED.reason,
            detail = EXCLUDED.detail, boot = EXCLUDED.boot, seq = EXCLUDED.seq, occurred_at = EXCLUDED.occurred_at,
            origin = EXCLUDED.origin, event_id = EXCLUDED.event_id
            WHERE known.* IS DISTINCT FROM EXCLUDED.*;
        INSERT INTO checkpoint_boot AS known
        SELECT instance_id, boot, min(occurred_at) FROM event
        WHERE occurred_at < ends AND type = 'state_change' AND boot IS NOT NULL
        GROUP BY 1, 2
        ON CONFLICT (instance_id, boot) DO UPDATE SET first_at = EXCLUDED.first_at
            WHERE EXCLUDED.first_at < known.first_at;
        UPDATE history_edge SET at = greatest(at, ends);
    END IF;
    EXECUTE format('DROP TABLE %I', partition);
    RETURN partition;
END $$;
REVOKE ALL ON FUNCTION drop_oldest_partition(text, timestamptz) FROM PUBLIC;

-- As before, and one that another process made a moment ago is there: it may be seen only by the name that is taken.
CREATE OR REPLACE FUNCTION ensure_partition(parent text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    unit  text := CASE parent WHEN 'event' THEN 'week' WHEN 'snapshot' THEN 'day' END;
    first timestamptz;
    name  text;
BEGIN
    IF unit IS NULL THEN
        RAISE EXCEPTION 'no partitioned history table is named %', parent;
    END IF;
    first := date_trunc(unit, at, 'UTC');
    name := parent || '_' || to_char(first AT TIME ZONE 'UTC', 'YYYYMMDD');
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('panelboard.partitions'));
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        name, parent, first, ((first AT TIME ZONE 'UTC') + ('1 ' || unit)::interval) AT TIME ZONE 'UTC'
    );
    RETURN true;
EXCEPTION WHEN duplicate_table THEN
    RETURN false;
END $$;

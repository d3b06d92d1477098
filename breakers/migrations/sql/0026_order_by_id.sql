-- The functions of 0010, by which the server's word came after an agent's of the same number and time, whatever the ids
-- of both were.

-- `states.derive` over sets: the state that history leads to, for each instance of `breakers`. Of events, those that
-- had occurred at `known`; and nothing that ranks above the highest of what had occurred before `edge`. Both may be
-- infinity. Checkpoints always count.
CREATE OR REPLACE FUNCTION derived_states(breakers bigint[], known timestamptz, edge timestamptz) RETURNS SETOF held_state
LANGUAGE sql STABLE AS $$
    WITH ranked AS (
        SELECT h.*, h.to_state IN ('closed', 'forced_closed', 'unknown') AS calm,
               row_number() OVER (PARTITION BY h.breaker_id, h.instance_id
                   ORDER BY coalesce(h.boot_at, '-infinity') DESC, coalesce(h.boot, '') COLLATE "C" DESC,
                            coalesce(h.seq, -1) DESC, h.occurred_at DESC, h.event_id COLLATE "C" DESC,
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
CREATE OR REPLACE FUNCTION changes_at(breaker bigint, instance bigint, instant timestamptz) RETURNS SETOF state_history
LANGUAGE sql STABLE AS $$
    SELECT * FROM state_history h
    WHERE h.breaker_id = breaker AND h.instance_id = instance AND h.occurred_at = instant
    ORDER BY h.boot_at DESC NULLS LAST, h.boot COLLATE "C" DESC NULLS LAST, h.seq DESC NULLS LAST,
             h.event_id COLLATE "C" DESC, h.is_checkpoint DESC
$$;

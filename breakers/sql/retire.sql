-- Instances that stayed away: lost for a day, or known by events alone and silent for a week. Not in the first
-- minute of a web process after a time in which none lived: whoever is still there is to be heard first.

-- name: away
SELECT i.id FROM instance i, watch
WHERE i.retired_at IS NULL AND watch.alive_since < now() - interval '60 seconds'
  AND (i.lost_at < now() - interval '24 hours'
       OR (i.connected IS NULL AND i.last_seen < now() - interval '7 days'))
ORDER BY i.id LIMIT 500

-- name: lock_breakers
-- As the writer does, in id order and before the instances.
SELECT id FROM breaker
WHERE id IN (SELECT breaker_id FROM breaker_instance WHERE instance_id = ANY(%(instances)s))
ORDER BY id FOR UPDATE

-- name: retire
-- Whoever came back meanwhile stays.
UPDATE instance SET retired_at = now(), session = NULL,
    connected = CASE WHEN connected IS NOT NULL THEN false END
WHERE id IN (SELECT id FROM instance WHERE id = ANY(%(instances)s) ORDER BY id FOR UPDATE)
  AND retired_at IS NULL AND connected IS NOT TRUE AND last_seen <= %(heard_before)s
RETURNING id

-- name: look_again
-- No state changed, and yet what the retired leave behind is to be judged without them.
INSERT INTO outbox (breaker_id, steps)
SELECT breaker_id, json_agg(json_build_array(0, instance_id, state, natural_state, state, natural_state, since))::text
FROM breaker_instance WHERE instance_id = ANY(%(instances)s)
GROUP BY breaker_id
RETURNING breaker_id

-- name: touch_breakers
WITH touched AS (INSERT INTO touched (breakers) VALUES (%(breakers)s))
UPDATE breaker SET change = change + 1, updated_at = clock_timestamp()
WHERE id = ANY(%(breakers)s)

-- name: prunable
-- Retired for an hour, and no event of theirs is left in history, nor one that waits to be judged. All events of
-- an instance lie between 7 days before it was first heard of and 5 minutes after it was retired. A checkpoint is
-- needed as long as history reaches back to when the instance was still there.
SELECT i.id FROM instance i
WHERE i.retired_at < now() - interval '1 hour'
  AND NOT EXISTS (
    SELECT FROM breaker b JOIN event e ON e.breaker_id = b.id
    WHERE b.service_id = i.service_id AND e.instance_id = i.id
      AND e.occurred_at BETWEEN i.created_at - interval '8 days' AND i.retired_at + interval '1 hour')
  AND NOT EXISTS (
    SELECT FROM breaker_instance bi JOIN outbox o ON o.breaker_id = bi.breaker_id
    WHERE bi.instance_id = i.id AND o.committed_at <= i.retired_at + interval '1 minute')
  AND (NOT EXISTS (SELECT FROM checkpoint c WHERE c.instance_id = i.id)
       OR i.retired_at < (SELECT at FROM history_edge))
ORDER BY i.id LIMIT 1000

-- name: prune
-- Whoever came back meanwhile stays; the breakers are locked by now.
WITH gone AS (
    SELECT id FROM instance
    WHERE id = ANY(%(instances)s) AND retired_at < now() - interval '1 hour' ORDER BY id FOR UPDATE
),
boots AS (DELETE FROM boot WHERE instance_id IN (SELECT id FROM gone)),
names AS (DELETE FROM former_name WHERE kind = 'instance' AND target_id IN (SELECT id FROM gone)),
checkpoints AS (DELETE FROM checkpoint WHERE instance_id IN (SELECT id FROM gone)),
checkpoint_boots AS (DELETE FROM checkpoint_boot WHERE instance_id IN (SELECT id FROM gone)),
disorders AS (
    DELETE FROM disorder d USING breaker_instance bi
    WHERE bi.instance_id IN (SELECT id FROM gone) AND d.breaker_id = bi.breaker_id AND d.instance_id = bi.instance_id
),
inside AS (DELETE FROM breaker_instance WHERE instance_id IN (SELECT id FROM gone) RETURNING breaker_id)
SELECT id, (SELECT array_agg(DISTINCT breaker_id) FROM inside) FROM gone

-- name: delete_instances
DELETE FROM instance WHERE id = ANY(%(instances)s)

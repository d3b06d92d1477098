-- The statements of one group commit, in the order in which they run. Breakers are locked first, in id
-- order, then instances: whoever writes state keeps to that, so writers wait and hardly ever deadlock. Whoever
-- changes what is wished locks the services before the breakers.

-- name: begin
BEGIN

-- name: first_times
-- Events with an id and no time: the time of the first with that id, for all repeats, whether it said one or not.
WITH asked AS (
    SELECT DISTINCT ON (service_id, event_id) *
    FROM unnest(%(services)s::bigint[], %(ids)s::text[], %(times)s::timestamptz[])
        AS a (service_id, event_id, occurred_at)
    ORDER BY service_id, event_id, occurred_at
),
made AS (
    INSERT INTO event_time (service_id, event_id, occurred_at)
    SELECT asked.service_id, asked.event_id, coalesce(stored.first_at, asked.occurred_at)
    FROM asked CROSS JOIN LATERAL (
        SELECT min(occurred_at) AS first_at FROM (
            SELECT e.occurred_at FROM event e
            WHERE e.service_id = asked.service_id AND e.event_id = asked.event_id AND e.occurred_at > now() - interval '8 days'
            UNION ALL
            SELECT s.occurred_at FROM snapshot s
            WHERE s.service_id = asked.service_id AND s.event_id = asked.event_id AND s.occurred_at > now() - interval '8 days'
        ) of_id
    ) stored
    ON CONFLICT (service_id, event_id) DO UPDATE SET event_id = EXCLUDED.event_id
    RETURNING service_id, event_id, occurred_at
)
SELECT service_id, event_id, occurred_at FROM made

-- name: behind
-- Breakers whose revision an agent has left behind, with the highest that is believed and who said it; see outrun.py.
SELECT DISTINCT ON (b.id) b.id, a.revision, a.instance, b.service_id FROM breaker b
JOIN unnest(%(breakers)s::bigint[], %(revisions)s::bigint[], %(instances)s::bigint[])
    AS a (id, revision, instance) USING (id)
WHERE b.revision < a.revision AND a.revision <= b.revision + %(ahead_max)s::bigint
ORDER BY b.id, a.revision DESC

-- name: number_wish
UPDATE service SET desired_number = desired_number + 1 WHERE id = %(service)s RETURNING desired_number

-- name: catch_up
-- What stands is wished anew under the new revision.
WITH was AS (
    SELECT b.id, b.revision, b.name, s.name AS service, e.name AS environment,
           (SELECT name FROM instance WHERE id = %(instance)s) AS instance
    FROM breaker b JOIN service s ON s.id = b.service_id JOIN environment e ON e.id = s.environment_id
    WHERE b.id = %(breaker)s AND b.revision < %(revision)s::bigint
),
raised AS (
    UPDATE breaker b SET revision = %(revision)s::bigint + 1, desired_number = %(number)s
    FROM was WHERE b.id = was.id RETURNING b.id, b.revision
),
wished AS (
    UPDATE override o SET revision = raised.revision FROM raised WHERE o.breaker_id = raised.id AND o.ended_at IS NULL
)
INSERT INTO audit_entry (actor_kind, actor_id, actor_name, action, environment, service, subject_kind, subject_id,
    subject, reason, before, after)
SELECT 'server', 0, 'Panelboard', 'raise_revision', was.environment, was.service, 'breaker', was.id::text,
       left(concat_ws(' / ', was.environment, was.service, was.name), 500),
       'An instance has applied more than was ever wished here: the database is older than what its agents know.',
       jsonb_build_object('revision', was.revision),
       jsonb_build_object('revision', raised.revision, 'instance', was.instance, 'applied', %(revision)s::bigint)
FROM was JOIN raised USING (id)

-- name: lock_breakers
SELECT id, change, target FROM breaker WHERE id = ANY(%(breakers)s) ORDER BY id FOR NO KEY UPDATE

-- name: lock_unmoved
-- The same where all of them are expected to have these change numbers still.
SELECT expect(count(*) = cardinality(%(breakers)s::bigint[]), 'PB001')
FROM (SELECT id, change FROM breaker WHERE id = ANY(%(breakers)s) ORDER BY id FOR NO KEY UPDATE) locked
JOIN unnest(%(breakers)s::bigint[], %(changes)s::bigint[]) AS expected (id, change) USING (id, change)

-- name: copy_events
-- Straight into history: one that is there already fails the transaction.
COPY event (service_id, event_id, occurred_at, breaker_id, instance_id, type, from_state, to_state,
    natural_state, boot, seq, cause, reason, detail, labels, metrics, library, origin) FROM STDIN

-- name: copy_snapshots
COPY snapshot (service_id, event_id, occurred_at, breaker_id, instance_id, natural_state, boot, seq, detail, labels, metrics) FROM STDIN

-- name: insert_events
-- Dearer for PostgreSQL by a third than COPY, which must be waited for twice.
INSERT INTO event (service_id, event_id, occurred_at, breaker_id, instance_id, type, from_state, to_state,
    natural_state, boot, seq, cause, reason, detail, labels, metrics, library, origin)
SELECT * FROM unnest(
    %(service_id)s::bigint[], %(event_id)s::text[], %(occurred_at)s::timestamptz[], %(breaker_id)s::bigint[],
    %(instance_id)s::bigint[], %(type)s::text[], %(from_state)s::text[], %(to_state)s::text[],
    %(natural_state)s::text[], %(boot)s::text[], %(seq)s::bigint[], %(cause)s::text[], %(reason)s::text[],
    %(detail)s::text[], %(labels)s::jsonb[], %(metrics)s::jsonb[], %(library)s::text[], %(origin)s::text[])

-- name: insert_snapshots
INSERT INTO snapshot (service_id, event_id, occurred_at, breaker_id, instance_id, natural_state, boot, seq, detail,
    labels, metrics)
SELECT * FROM unnest(
    %(service_id)s::bigint[], %(event_id)s::text[], %(occurred_at)s::timestamptz[], %(breaker_id)s::bigint[],
    %(instance_id)s::bigint[], %(natural_state)s::text[], %(boot)s::text[], %(seq)s::bigint[], %(detail)s::text[],
    %(labels)s::jsonb[], %(metrics)s::jsonb[])

-- name: make_incoming_event
CREATE TEMPORARY TABLE incoming_event (LIKE event INCLUDING DEFAULTS) ON COMMIT DROP

-- name: copy_incoming_event
COPY incoming_event (service_id, event_id, occurred_at, breaker_id, instance_id, type, from_state, to_state,
    natural_state, boot, seq, cause, reason, detail, labels, metrics, library, origin) FROM STDIN

-- name: insert_incoming_event
-- Gives the keys of those that are new; a repeat inserts nothing.
INSERT INTO event SELECT * FROM incoming_event ON CONFLICT DO NOTHING RETURNING service_id, event_id, occurred_at

-- name: make_incoming_snapshot
CREATE TEMPORARY TABLE incoming_snapshot (LIKE snapshot INCLUDING DEFAULTS) ON COMMIT DROP

-- name: copy_incoming_snapshot
COPY incoming_snapshot (service_id, event_id, occurred_at, breaker_id, instance_id, natural_state, boot, seq, detail, labels, metrics) FROM STDIN

-- name: insert_incoming_snapshot
INSERT INTO snapshot SELECT * FROM incoming_snapshot ON CONFLICT DO NOTHING
RETURNING service_id, event_id, occurred_at

-- name: lock_instances
-- The boots of an instance are ranked by one process at a time.
SELECT id FROM instance WHERE id = ANY(%(instances)s) ORDER BY id FOR NO KEY UPDATE

-- name: rank_boots
-- Lowers a boot's beginning where an event is earlier. Gives each that was known, and its beginning before: null where
-- another process has just put it in.
WITH asked AS (
    SELECT instance_id, boot, min(first_at) AS first_at
    FROM unnest(%(instances)s::bigint[], %(boots)s::text[], %(times)s::timestamptz[]) AS a (instance_id, boot, first_at)
    GROUP BY 1, 2
),
was AS (
    SELECT b.instance_id, b.boot, b.first_at FROM boot b JOIN asked USING (instance_id, boot)
    ORDER BY 1, 2 FOR UPDATE OF b
),
ranked AS (
    INSERT INTO boot AS known (instance_id, boot, first_at)
    SELECT asked.* FROM asked LEFT JOIN was USING (instance_id, boot) ORDER BY 1, 2
    ON CONFLICT (instance_id, boot) DO UPDATE SET first_at = least(EXCLUDED.first_at, known.first_at)
    RETURNING instance_id, boot, xmax <> 0 AS was_known
)
SELECT ranked.instance_id, ranked.boot, was.first_at
FROM ranked LEFT JOIN was USING (instance_id, boot) WHERE was_known

-- name: load_states
SELECT bi.breaker_id, bi.instance_id, bi.state, bi.natural_state, bi.since, bi.not_closed_since, bi.cause,
       bi.reason, bi.detail, bi.boot, boot.first_at AS boot_at, bi.seq, bi.at, bi.origin, bi.event_id, bi.metrics_at
FROM breaker_instance bi
LEFT JOIN boot ON boot.instance_id = bi.instance_id AND boot.boot = bi.boot
WHERE bi.breaker_id = ANY(%(breakers)s) AND bi.instance_id = ANY(%(instances)s)

-- name: load_boots
SELECT instance_id, boot, first_at FROM boot WHERE instance_id = ANY(%(instances)s)

-- name: store_states
-- The state of each breaker instance, and what events say beside it; of that, null keeps what is known. When a probe
-- is due is said of one state change, and known no longer than that stands.
INSERT INTO breaker_instance AS held (breaker_id, instance_id, state, natural_state, since, not_closed_since,
    cause, reason, detail, boot, seq, at, origin, event_id, metrics, metrics_at, library, labels, probe_due_at)
SELECT breaker_id, instance_id, state, natural_state, since, not_closed_since, cause, reason, detail, boot, seq, at,
       origin, event_id, metrics, metrics_at, library, coalesce(labels, '{}'), probe_due_at
FROM unnest(
    %(breaker_id)s::bigint[], %(instance_id)s::bigint[], %(state)s::text[], %(natural_state)s::text[],
    %(since)s::timestamptz[], %(not_closed_since)s::timestamptz[], %(cause)s::text[], %(reason)s::text[],
    %(detail)s::text[], %(boot)s::text[], %(seq)s::bigint[], %(at)s::timestamptz[], %(origin)s::text[],
    %(event_id)s::text[], %(metrics)s::jsonb[], %(metrics_at)s::timestamptz[], %(library)s::text[],
    %(labels)s::jsonb[], %(probe_due_at)s::timestamptz[])
    AS a (breaker_id, instance_id, state, natural_state, since, not_closed_since, cause, reason, detail, boot, seq,
          at, origin, event_id, metrics, metrics_at, library, labels, probe_due_at)
ON CONFLICT (breaker_id, instance_id) DO UPDATE SET
    state = EXCLUDED.state, natural_state = EXCLUDED.natural_state, since = EXCLUDED.since,
    not_closed_since = EXCLUDED.not_closed_since, cause = EXCLUDED.cause, reason = EXCLUDED.reason,
    detail = EXCLUDED.detail, boot = EXCLUDED.boot, seq = EXCLUDED.seq, at = EXCLUDED.at,
    origin = EXCLUDED.origin, event_id = EXCLUDED.event_id,
    metrics = coalesce(EXCLUDED.metrics, held.metrics), metrics_at = coalesce(EXCLUDED.metrics_at, held.metrics_at),
    library = coalesce(EXCLUDED.library, held.library),
    labels = CASE WHEN EXCLUDED.labels = '{}' THEN held.labels ELSE EXCLUDED.labels END,
    probe_due_at = coalesce(EXCLUDED.probe_due_at,
                            CASE WHEN EXCLUDED.event_id = held.event_id THEN held.probe_due_at END)

-- name: move_states
-- The same of breaker instances that are expected to be there all, which spares a lock and a record in the log for each.
WITH moved AS (
    UPDATE breaker_instance held SET
        state = a.state, natural_state = a.natural_state, since = a.since, not_closed_since = a.not_closed_since,
        cause = a.cause, reason = a.reason, detail = a.detail, boot = a.boot, seq = a.seq, at = a.at,
        origin = a.origin, event_id = a.event_id,
        metrics = coalesce(a.metrics, held.metrics), metrics_at = coalesce(a.metrics_at, held.metrics_at),
        library = coalesce(a.library, held.library), labels = coalesce(a.labels, held.labels),
        probe_due_at = coalesce(a.probe_due_at, CASE WHEN a.event_id = held.event_id THEN held.probe_due_at END)
    FROM unnest(
        %(breaker_id)s::bigint[], %(instance_id)s::bigint[], %(state)s::text[], %(natural_state)s::text[],
        %(since)s::timestamptz[], %(not_closed_since)s::timestamptz[], %(cause)s::text[], %(reason)s::text[],
        %(detail)s::text[], %(boot)s::text[], %(seq)s::bigint[], %(at)s::timestamptz[], %(origin)s::text[],
        %(event_id)s::text[], %(metrics)s::jsonb[], %(metrics_at)s::timestamptz[], %(library)s::text[],
        %(labels)s::jsonb[], %(probe_due_at)s::timestamptz[])
        AS a (breaker_id, instance_id, state, natural_state, since, not_closed_since, cause, reason, detail, boot, seq,
              at, origin, event_id, metrics, metrics_at, library, labels, probe_due_at)
    WHERE held.breaker_id = a.breaker_id AND held.instance_id = a.instance_id
    RETURNING 1
)
SELECT expect(count(*) = cardinality(%(breaker_id)s::bigint[]), 'PB002') FROM moved

-- name: fill_outbox
INSERT INTO outbox (breaker_id, steps) SELECT * FROM unnest(%(breakers)s::bigint[], %(steps)s::text[])

-- name: touch_breakers
WITH touched AS (INSERT INTO touched (breakers) VALUES (%(breakers)s))
UPDATE breaker b SET change = change + 1, updated_at = clock_timestamp(), target = coalesce(a.target, b.target)
FROM unnest(%(breakers)s::bigint[], %(targets)s::text[]) AS a (id, target)
WHERE b.id = a.id
RETURNING b.id, b.change, b.target

-- name: touch_instances
-- An instance that speaks is neither lost nor retired. Not more often than each 5 s, for the row's sake. Gives those that
-- were, if they `may_be_back`. All are expected to be there: one that is remembered may have been pruned, and history
-- has no foreign key to tell.
WITH was AS (
    SELECT id, lost_at IS NOT NULL OR retired_at IS NOT NULL AS is_back FROM instance
    WHERE id = ANY(%(instances)s)
      AND (last_seen < now() - interval '5 seconds' OR lost_at IS NOT NULL OR retired_at IS NOT NULL)
    ORDER BY id FOR UPDATE
),
touched AS (
    UPDATE instance SET last_seen = now(), lost_at = NULL, retired_at = NULL FROM was WHERE instance.id = was.id
)
SELECT ARRAY(SELECT id FROM was WHERE is_back),
       expect((SELECT count(*) FROM instance WHERE id = ANY(%(instances)s)) = cardinality(%(instances)s::bigint[]), 'PB002'),
       expect(%(may_be_back)s::boolean OR NOT EXISTS (SELECT FROM was WHERE is_back), 'PB001')

-- name: breakers_of_instances
SELECT breaker_id, instance_id FROM breaker_instance WHERE instance_id = ANY(%(instances)s)

-- name: left_by_instances
SELECT breaker_id, instance_id FROM breaker_instance WHERE instance_id = ANY(%(instances)s) AND left_at IS NOT NULL

-- name: silent_of_instances
-- Of what the present life of these instances has said nothing: another has, which ended on purpose. See `_SILENT` of
-- alerts/claim.py.
SELECT bi.breaker_id, bi.instance_id FROM breaker_instance bi JOIN instance i ON i.id = bi.instance_id
WHERE bi.instance_id = ANY(%(instances)s) AND bi.boot <> i.boot AND bi.presented_by <> i.boot
  AND EXISTS (SELECT FROM absence a WHERE a.instance_id = i.id AND a.breaker_id IS NULL AND a.until > bi.at)

-- name: services_of_instances
SELECT id, service_id FROM instance WHERE id = ANY(%(instances)s)

-- name: introduce
-- A session takes the instance over, or changes nothing where it is over (`is_left`): another session holds the
-- instance since the first hello of this one, or the agent has said hello on a later connection of the same boot.
-- Gives the session that held it before, and no row where the instance is gone.
WITH before AS (
    SELECT id, name, session, boot, retired_at IS NOT NULL AS is_back,
           (boot = %(boot)s AND connection > %(connection)s::bigint) IS TRUE
               OR (%(again)s::boolean AND session <> %(session)s) IS TRUE AS is_left
    FROM instance WHERE id = %(instance)s FOR UPDATE
),
taken AS (
    UPDATE instance i SET session = %(session)s,
        session_since = CASE WHEN before.session IS DISTINCT FROM %(session)s THEN now() ELSE i.session_since END,
        connection = coalesce(%(connection)s::bigint, CASE WHEN before.boot = %(boot)s THEN i.connection END),
        boot = %(boot)s, agent_name = %(agent_name)s, agent_version = %(agent_version)s, labels = %(labels)s,
        connected = %(connected)s, last_seen = now(), lost_at = NULL, retired_at = NULL
    FROM before WHERE i.id = before.id AND NOT before.is_left
)
SELECT session AS taken_from, boot AS boot_before, name, is_left, is_back FROM before

-- name: end_commands
-- A command runs once in an instance: a new life of one that has run it is not to hear of it.
UPDATE command c SET instances = array_remove(c.instances, %(called)s::text)
FROM breaker_instance held
WHERE held.instance_id = %(instance)s AND c.breaker_id = held.breaker_id AND c.revision <= held.applied_revision
  AND c.expires_at > clock_timestamp() AND %(called)s::text = ANY(c.instances)

-- name: begin_life
-- What an instance has applied and refused, it has in its former life, and each life has its own minute to name what it
-- has.
UPDATE breaker_instance SET applied_revision = 0, applied_at = NULL, refused_revision = NULL, refused_error = NULL,
    refused_at = NULL, leaves_at = NULL
WHERE instance_id = %(instance)s AND (applied_revision > 0 OR refused_revision IS NOT NULL OR leaves_at IS NOT NULL)

-- name: leave_breakers
-- A hello names all that its process has. What an earlier one of the same process had named and this one does not is
-- gone; what another life of it had named has a minute to be named again. What was imported was named to
-- another panel, by '': of that nobody knows whether it had left there already. Gives what leaves or may, whether it is
-- gone, and whether it was ever there for this panel.
UPDATE breaker_instance SET
    left_at = CASE WHEN presented_by IN (%(boot)s, '') THEN now() END,
    leaves_at = CASE WHEN presented_by NOT IN (%(boot)s, '') THEN coalesce(leaves_at, now() + interval '60 seconds') END
WHERE instance_id = %(instance)s AND presented_by IS NOT NULL AND left_at IS NULL AND NOT breaker_id = ANY(%(breakers)s)
RETURNING breaker_id, left_at IS NOT NULL, presented_by <> ''

-- name: settle_leaving
-- Of an instance that is live. What had a minute to be named again is gone, unless its present life told of it; what had
-- left and was told of long after is back. Long after: what is sent again late is not meant, and no clock is so far
-- ahead (validate.py). Gives both, and which they are.
WITH due AS (
    SELECT bi.breaker_id, bi.left_at IS NOT NULL AS is_back,
           bi.left_at IS NULL
               AND NOT EXISTS (SELECT FROM event e
                               WHERE e.breaker_id = bi.breaker_id AND e.instance_id = bi.instance_id
                                 AND e.boot = i.boot AND e.origin = 'agent' AND e.occurred_at > now() - interval '8 days')
               AND NOT EXISTS (SELECT FROM snapshot s
                               WHERE s.breaker_id = bi.breaker_id AND s.instance_id = bi.instance_id
                                 AND s.boot = i.boot AND s.occurred_at > now() - interval '8 days') AS leaves
    FROM breaker_instance bi
    JOIN instance i ON i.id = bi.instance_id AND i.lost_at IS NULL AND i.retired_at IS NULL
    WHERE bi.instance_id = %(instance)s
      AND (bi.leaves_at <= now() OR greatest(bi.at, bi.metrics_at) > bi.left_at + interval '5 minutes')
)
UPDATE breaker_instance held SET left_at = CASE WHEN due.leaves THEN now() END, leaves_at = NULL
FROM due WHERE held.breaker_id = due.breaker_id AND held.instance_id = %(instance)s
RETURNING held.breaker_id, due.leaves, due.is_back

-- name: part
-- Last of all in a commit, after its rows in the outbox have their time: by that is told apart what was said of a breaker
-- before it left, in this commit too, and what afterwards.
UPDATE breaker_instance held SET left_at = clock_timestamp()
FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[]) AS parted (breaker, instance)
WHERE held.breaker_id = parted.breaker AND held.instance_id = parted.instance AND held.left_at IS NOT NULL

-- name: present_breakers
-- What a hello says of each breaker beside its state. None has applied what was never wished, and what had left is
-- another by that name, which has applied and refused nothing yet. Gives those that say so, and those that had left.
WITH said AS (
    SELECT a.breaker, a.library, a.config, coalesce(a.applied, 0) AS applied,
           coalesce(a.applied, 0) > b.revision AS is_unknown, was.left_at IS NOT NULL AS had_left
    FROM unnest(%(breakers)s::bigint[], %(libraries)s::text[], %(configs)s::jsonb[], %(applied)s::bigint[])
        AS a (breaker, library, config, applied)
    JOIN breaker b ON b.id = a.breaker
    LEFT JOIN breaker_instance was ON was.breaker_id = a.breaker AND was.instance_id = %(instance)s::bigint
),
presented AS (
    INSERT INTO breaker_instance AS held (breaker_id, instance_id, library, config, applied_revision, presented_by)
    SELECT breaker, %(instance)s::bigint, library, config, CASE WHEN is_unknown THEN 0 ELSE applied END,
           %(boot)s::text FROM said
    ON CONFLICT (breaker_id, instance_id) DO UPDATE SET
        library = coalesce(EXCLUDED.library, held.library), config = EXCLUDED.config,
        applied_revision = CASE WHEN EXCLUDED.applied_revision > 0 OR held.left_at IS NOT NULL
                                THEN EXCLUDED.applied_revision ELSE held.applied_revision END,
        refused_revision = CASE WHEN held.left_at IS NULL THEN held.refused_revision END,
        refused_error = CASE WHEN held.left_at IS NULL THEN held.refused_error END,
        refused_at = CASE WHEN held.left_at IS NULL THEN held.refused_at END,
        presented_by = EXCLUDED.presented_by, leaves_at = NULL, left_at = NULL
)
SELECT breaker, is_unknown, had_left FROM said WHERE is_unknown OR had_left

-- name: store_applied
-- Revisions put into effect, or refused, of many breaker instances, each once; an older report changes nothing, and
-- one of a revision that was never wished is none of success. Gives those that were believed, with what they refuse
-- that is news: not where another session holds the instance by now, for nothing orders the words of two sockets but
-- that. Who has no session (renamed, retired) is still believed.
UPDATE breaker_instance held SET
    applied_revision = CASE WHEN said.ok THEN greatest(held.applied_revision, said.revision) ELSE held.applied_revision END,
    applied_at = CASE WHEN said.ok AND said.revision > held.applied_revision THEN now() ELSE held.applied_at END,
    refused_revision = CASE WHEN said.is_refusal THEN said.revision ELSE held.refused_revision END,
    refused_error = CASE WHEN said.is_refusal THEN said.error ELSE held.refused_error END,
    refused_at = CASE WHEN said.is_refusal THEN now() ELSE held.refused_at END
FROM (
    SELECT known.*, (NOT known.ok AND known.revision >= coalesce(was.refused_revision, 0)) AS is_refusal,
           (was.refused_revision, was.refused_error) IS DISTINCT FROM (known.revision, known.error) AS is_other
    FROM (
        SELECT a.breaker, a.instance, least(a.revision, b.revision) AS revision,
               a.ok AND a.revision <= b.revision AS ok,
               CASE WHEN a.revision <= b.revision THEN a.error
                    ELSE 'says that it has applied revision ' || a.revision || ', which was never wished' END AS error
        FROM unnest(%(breakers)s::bigint[], %(instances)s::bigint[], %(sessions)s::uuid[], %(revisions)s::bigint[],
                    %(oks)s::boolean[], %(errors)s::text[]) AS a (breaker, instance, session, revision, ok, error)
        JOIN breaker b ON b.id = a.breaker
        WHERE NOT EXISTS (SELECT FROM instance i WHERE i.id = a.instance AND i.session <> a.session)
    ) known
    JOIN breaker_instance was ON was.breaker_id = known.breaker AND was.instance_id = known.instance
) said
WHERE held.breaker_id = said.breaker AND held.instance_id = said.instance
RETURNING held.breaker_id, held.instance_id, said.ok, said.revision,
    CASE WHEN said.is_refusal AND said.is_other THEN said.error END AS refusal

-- name: lose
-- Silent for 60 s while somebody could have heard: one conditional statement says who is lost.
UPDATE instance SET lost_at = now(), connected = false
WHERE id IN (
    SELECT i.id FROM instance i, watch
    WHERE i.id = ANY(%(instances)s) AND i.connected IS NOT NULL AND i.lost_at IS NULL AND i.retired_at IS NULL
      AND i.last_seen < now() - interval '60 seconds'
      AND watch.alive_since < now() - interval '60 seconds'
    ORDER BY i.id FOR UPDATE OF i)
RETURNING id

-- name: retire
-- Nobody's it is once it was renamed, until its agent has said hello again: then the last one's word still counts.
UPDATE instance SET retired_at = now(), connected = false, session = NULL
WHERE id = %(instance)s AND coalesce(session, %(session)s) = %(session)s AND retired_at IS NULL
RETURNING id

-- name: disconnect
UPDATE instance SET connected = false
WHERE id = %(instance)s AND coalesce(session, %(session)s) = %(session)s AND connected
  AND last_seen <= now() - make_interval(secs => %(silent_for_s)s)
RETURNING id

-- name: commit
COMMIT

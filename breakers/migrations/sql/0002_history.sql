-- History: append-only, range-partitioned by time. A primary key on a partitioned table must hold the
-- partition column, so a repeat is known by (service, id, time). No foreign keys: ingest resolves the
-- ids just before, under the row locks that deleting them would need, and a check per row would cost
-- about a third of the write.

CREATE TABLE event (
    service_id    bigint      NOT NULL,
    event_id      varchar(200) NOT NULL,
    occurred_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    breaker_id    bigint      NOT NULL,
    instance_id   bigint      NOT NULL,
    type          varchar(12) NOT NULL CHECK (type IN ('state_change', 'note')),
    from_state    varchar(13) CHECK (from_state IN ('closed', 'open', 'half_open', 'forced_open', 'forced_closed', 'unknown')),
    to_state      varchar(13) CHECK (to_state IN ('closed', 'open', 'half_open', 'forced_open', 'forced_closed', 'unknown')),
    natural_state varchar(13) CHECK (natural_state IN ('closed', 'open', 'half_open', 'forced_open', 'forced_closed', 'unknown')),
    boot          varchar(200),
    seq           bigint      CHECK (seq >= 0),
    cause         varchar(10) NOT NULL CHECK (cause IN ('automatic', 'manual', 'override', 'shared', 'unknown')),
    reason        varchar(64),
    detail        text,
    labels        jsonb,
    metrics       jsonb,
    library       varchar(200),
    origin        varchar(6)  NOT NULL CHECK (origin IN ('agent', 'server')),
    CHECK (type <> 'state_change' OR to_state IS NOT NULL),
    PRIMARY KEY (service_id, event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX event_by_breaker ON event (breaker_id, occurred_at DESC, event_id DESC);

CREATE TABLE snapshot (
    service_id    bigint      NOT NULL,
    event_id      varchar(200) NOT NULL,
    occurred_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT now(),
    breaker_id    bigint      NOT NULL,
    instance_id   bigint      NOT NULL,
    natural_state varchar(13),
    boot          varchar(200),
    seq           bigint      CHECK (seq >= 0),
    detail        text,
    labels        jsonb,
    metrics       jsonb,
    PRIMARY KEY (service_id, event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

CREATE INDEX snapshot_by_breaker ON snapshot (breaker_id, occurred_at DESC, event_id DESC);

-- Events that came with an id and no time: a repeat is handed the first one's time. Kept 8 days.
CREATE TABLE event_time (
    service_id  bigint      NOT NULL,
    event_id    varchar(200) NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (service_id, event_id)
);
CREATE INDEX event_time_age ON event_time (occurred_at);

-- Makes the partition of `parent` that holds `at` where it is missing; true if it made it. Runs with the
-- rights of the tables' owner, so that the program's role, which owns nothing, can call it.
CREATE FUNCTION ensure_partition(parent text, at timestamptz) RETURNS boolean
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
    IF to_regclass(quote_ident(name)) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
        name, parent, first, date_trunc(unit, first + ('1 ' || unit)::interval + interval '1 hour', 'UTC')
    );
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION ensure_partition(text, timestamptz) FROM PUBLIC;

-- The last transaction that changed what is shown of a breaker. xid8 and not a sequence: with
-- pg_snapshot_xmin a reader skips no transaction that commits late.
ALTER TABLE breaker ADD COLUMN changed_xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX breaker_changed ON breaker (changed_xid);

-- Since when some web process has been alive without a gap: an instance is lost only by silence that
-- somebody could have heard.
CREATE TABLE watch (
    single      boolean PRIMARY KEY DEFAULT true CHECK (single),
    alive_since timestamptz NOT NULL,
    ticked_at   timestamptz NOT NULL
);
INSERT INTO watch (alive_since, ticked_at) VALUES (now(), now());

CREATE INDEX instance_heard ON instance (last_seen) WHERE connected IS NOT NULL AND lost_at IS NULL AND retired_at IS NULL;
CREATE INDEX breaker_instance_by_instance ON breaker_instance (instance_id);

-- I7: nobody changes or deletes an audit row, not even the tables' owner or a superuser by mistake.
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- What each committed event costs beside its own row.

-- Changed breakers were found by a column that every change rewrote, index and all, so that no update of a
-- breaker could stay on its page (HOT). One row a transaction says the same.
CREATE TABLE touched (
    xid      xid8        NOT NULL DEFAULT pg_current_xact_id(),
    at       timestamptz NOT NULL DEFAULT now(),
    breakers bigint[]    NOT NULL
);
CREATE INDEX touched_by_xid ON touched (xid);
ALTER TABLE breaker DROP COLUMN changed_xid;

-- Rows of the outbox are read and deleted by breaker, in order: one index does.
ALTER TABLE outbox DROP CONSTRAINT outbox_pkey;
ALTER TABLE outbox ADD CONSTRAINT outbox_pkey PRIMARY KEY (breaker_id, id);
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

-- Rows that are updated all the time keep room for it.
ALTER TABLE breaker SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE breaker_instance SET (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05);

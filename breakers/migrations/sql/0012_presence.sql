-- Who was there at a past instant: an instance that comes back forgets when it was retired, and a restart with a
-- goodbye is just that. Kept as far back as history goes.
CREATE TABLE absence (
    instance_id bigint      NOT NULL REFERENCES instance ON DELETE CASCADE,
    since       timestamptz NOT NULL,
    until       timestamptz NOT NULL
);
CREATE INDEX absence_of_instance ON absence (instance_id, since);

-- By a trigger, for there are several ways to come back, and who is not retired, as nearly all are, pays nothing.
CREATE FUNCTION note_absence() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO absence VALUES (OLD.id, OLD.retired_at, now());
    RETURN NULL;
END $$;
CREATE TRIGGER instance_came_back AFTER UPDATE OF retired_at ON instance FOR EACH ROW
    WHEN (OLD.retired_at IS NOT NULL AND NEW.retired_at IS NULL) EXECUTE FUNCTION note_absence();

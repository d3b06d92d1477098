-- That an instance did not have a breaker for a while is an absence like its own: null means all of its breakers.
ALTER TABLE absence ADD COLUMN breaker_id bigint REFERENCES breaker ON DELETE CASCADE;
CREATE INDEX absence_of_breaker ON absence (breaker_id) WHERE breaker_id IS NOT NULL;

CREATE FUNCTION note_absence_of_breaker() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO absence (instance_id, breaker_id, since, until)
    VALUES (OLD.instance_id, OLD.breaker_id, OLD.left_at, clock_timestamp());
    RETURN NULL;
END $$;
CREATE TRIGGER breaker_came_back AFTER UPDATE OF left_at ON breaker_instance FOR EACH ROW
    WHEN (OLD.left_at IS NOT NULL AND NEW.left_at IS NULL) EXECUTE FUNCTION note_absence_of_breaker();

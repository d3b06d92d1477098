-- Whether any rule looks at snapshots: only then do they enter the outbox. One row.
CREATE TABLE judging (
    single  boolean PRIMARY KEY DEFAULT true CHECK (single),
    samples boolean NOT NULL
);
INSERT INTO judging (samples) VALUES (false);

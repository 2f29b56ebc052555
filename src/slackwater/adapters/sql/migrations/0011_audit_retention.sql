-- Schema 11. The audit log may be shortened at its old end, where the operator says how long it is kept. What is younger than
-- the moment that was set for it, the database goes on refusing to delete.

CREATE TABLE audit_horizon (
    only      INTEGER PRIMARY KEY CHECK (only = 1),
    kept_from INTEGER NOT NULL
);
INSERT INTO audit_horizon (only, kept_from) VALUES (1, 0);

DROP TRIGGER audit_is_never_shortened;
CREATE TRIGGER audit_is_shortened_at_its_old_end BEFORE DELETE ON audit
WHEN OLD.at >= (SELECT kept_from FROM audit_horizon)
BEGIN
    SELECT RAISE(ABORT, 'the audit log is only ever added to');
END;

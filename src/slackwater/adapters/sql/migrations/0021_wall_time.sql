-- Schema 21. When a server was last seen alive, by the clock on the wall, and from when on what users gave an end may go: a day after
-- a long time in which none was. 0: never, and at once.

CREATE TABLE wall_time (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    alive_at    REAL NOT NULL,
    expire_from REAL NOT NULL
);
INSERT INTO wall_time (one, alive_at, expire_from) VALUES (1, 0, 0);

-- What operators have said of how much of an engine batches may take, while it runs. It goes before the configuration.
CREATE TABLE engine_pace (
    engine TEXT PRIMARY KEY,
    pace   TEXT NOT NULL,
    who    TEXT NOT NULL,
    since  INTEGER NOT NULL
);

"""Several servers on one PostgreSQL and one directory, in one process."""

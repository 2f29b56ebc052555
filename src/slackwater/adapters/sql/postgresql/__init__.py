"""The ledger on PostgreSQL. Nothing here is imported before a configuration names such a database: it needs psycopg."""

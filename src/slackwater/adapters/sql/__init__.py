"""The ledger on SQL. The text of every statement is in queries.sql."""

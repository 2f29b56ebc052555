"""Rows of a table: each becomes a request, and its answer a few cells beside it."""

"""Calls to addresses of a user's choice, each judged before it is used."""

"""Tokens of issuers, their keys, and signing in with them."""

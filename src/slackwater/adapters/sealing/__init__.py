"""Secrets that are stored, sealed under keys of the operator's."""

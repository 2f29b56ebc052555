"""Blobs as files, and the directory that a server works in."""

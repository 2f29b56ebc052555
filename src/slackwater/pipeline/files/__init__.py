"""Bytes in, from a caller or a URL, until a file is `processed`."""

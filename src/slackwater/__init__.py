"""Slackwater: a batch service for language models that a team runs itself."""

__version__ = "0.2.0"

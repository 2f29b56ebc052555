"""Webhooks: who wants to hear, and what is on its way to them."""

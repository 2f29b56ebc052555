"""Tests that need object stores: moto and Azurite, from packages (make test-stores)."""

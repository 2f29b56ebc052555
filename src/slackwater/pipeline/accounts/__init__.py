"""Keys, sessions, deployments made over the API, and the part of the ledger that one resource sees."""

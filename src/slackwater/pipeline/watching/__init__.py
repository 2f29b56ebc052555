"""How everything gets on, for those who look: rates, readiness, results while they come."""

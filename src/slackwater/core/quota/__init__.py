"""How many enqueued tokens a deployment may hold, and who starts next."""

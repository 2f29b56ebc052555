"""Room for enqueued tokens: who waits for it, and how much there is now."""

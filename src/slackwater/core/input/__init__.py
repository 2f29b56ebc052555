"""Lines of input files: whether they are good, what they weigh, and what to say where they are not."""

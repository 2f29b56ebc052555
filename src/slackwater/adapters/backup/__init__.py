"""Back-ups of a data directory: made, checked, restored."""

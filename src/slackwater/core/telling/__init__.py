"""What is told to others of the ends of batches: events, signatures, when to try again."""

"""The journey of a batch, one module per stage. Each reads one durable state and writes the next."""

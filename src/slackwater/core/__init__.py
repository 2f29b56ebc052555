"""What decides. Nothing here waits, asks the time, or touches the world: values in, answers out."""

"""Users at work for an hour, and what that leaves behind in a server."""

"""What speaks our users' protocol: paths, JSON, headers, status codes."""

"""A content filter before and behind the calls of a deployment."""

"""An input file becomes shards and a token count, or every error."""

"""One request to one engine and what came of it: what is sent, judged and written."""

"""From journaled results to the two files; what becomes of what nobody needs any more."""

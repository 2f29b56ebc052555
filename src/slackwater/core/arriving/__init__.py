"""Who comes to the front door, and in what form: heads, patience, and who has to make room."""

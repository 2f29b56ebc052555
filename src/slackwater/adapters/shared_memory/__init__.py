"""What processes of one host tell each other in its memory."""

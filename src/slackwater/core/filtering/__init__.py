"""What a content filter finds in texts, and what becomes of them."""

"""Who somebody is, what they may see, and what it costs them."""

"""What people who watch are shown: lists, rates, lines of results in few words."""

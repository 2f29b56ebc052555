"""Files that move between a folder and stores."""

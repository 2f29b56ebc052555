"""Files and uploads: what they are, and the limits of their kinds."""

"""The front door: connections and requests as bytes, within limits. What it lets in is answered by the application."""

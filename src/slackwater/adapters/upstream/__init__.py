"""What answers requests: engines over HTTP, the built-in echo, classifiers of content."""

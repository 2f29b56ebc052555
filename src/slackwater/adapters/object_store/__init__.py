"""Files in an object store. Nothing here is imported before a configuration names one: it needs obstore."""

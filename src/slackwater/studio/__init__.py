"""Studio: the pages on top of the public API, served as files that no build step has touched."""

from slackwater.studio.pages import studio_routes

__all__ = ["studio_routes"]

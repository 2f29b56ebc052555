"""A modelled inference engine behind HTTP: `slackwater sim-engine`."""

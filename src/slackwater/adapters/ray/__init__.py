"""Workers on a Ray cluster. Nothing outside this package knows Ray, and only `slackwater up` and `slackwater down` import it."""

"""`python -m slackwater` is the same as the `slackwater` command."""

from slackwater.cli import main

if __name__ == "__main__":
    main()

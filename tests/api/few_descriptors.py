"""`slackwater serve` that may have few descriptors: `python -m tests.api.few_descriptors LIMIT --config ...`."""

import resource
import sys

from slackwater.cli import main

if __name__ == "__main__":
    limit = int(sys.argv.pop(1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    sys.argv.insert(1, "serve")
    main()

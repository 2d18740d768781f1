"""`python -m healtharchive.cli`: the command line without its console script."""

import sys

from healtharchive.cli.main import main

sys.exit(main())

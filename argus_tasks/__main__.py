"""`python -m argus_tasks` is `argus-tasks`."""

import sys

from argus_tasks.cli.main import main

sys.exit(main())

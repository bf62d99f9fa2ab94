"""An experiment whose module takes an hour to load; it says when it has begun to."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.support.experiments import slow

Path(os.environ["LOADING_MARK"]).touch()
time.sleep(3600)

__all__ = ["slow"]

"""Scripts that tests run as experiments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Ends as its first argument says; in the shell, so that no part of it is Python's doing.
SHELL = r"""
kind=$1 metrics=$ARGUS_RUN_DIR/metrics.json
case $kind in
  lines)  echo "METRIC loss=0.5 step=0"; echo "METRIC loss=0.25 step=1"; echo "METRIC acc=0.75" ;;
  file)   echo "METRIC loss=9"; echo '{"loss": 0.125, "note": "x"}' > $metrics ;;
  none)   echo "said nothing" ;;
  fail)   echo "out"; echo "first" >&2; echo "ValueError: a bad value" >&2; exit 3 ;;
  skip)   echo "not today" >&2; exit 77 ;;
  kill)   kill -KILL $$ ;;
  segv)   kill -SEGV $$ ;;
  list)   echo '[1]' > $metrics ;;
  broken) echo '{"loss"' > $metrics ;;
  nan)    echo "METRIC loss=nan step=0" ;;
  odd)    echo "METRIC loss: 1" ;;
  flaky)  [ "$ARGUS_ATTEMPT" = 2 ] || exit 75; echo "METRIC attempt=$ARGUS_ATTEMPT" ;;
  left)   sleep 300 & echo "METRIC left=1" ;;
  env)    echo "METRIC gpu=$CUDA_VISIBLE_DEVICES threads=$OMP_NUM_THREADS" ;;
esac
"""

# Tells what it finds; heeds a TERM as a training script would, in its own time.
PYTHON = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

config = json.loads(Path(os.environ["ARGUS_CONFIG"]).read_text())
run = Path(os.environ["ARGUS_RUN_DIR"])
marks = Path(config["marks"])

def on_term(number, frame):
    with open(marks / f"termed-{config['x']}", "a") as file:
        file.write("x")
    time.sleep(config.get("saves_s", 0))
    (run / "checkpoints" / "saved").write_text("yes")
    sys.exit(config.get("code", 0))

if config.get("heeds", True):
    signal.signal(signal.SIGTERM, on_term)
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (run / "checkpoints" / "saved").exists():
    print("METRIC resumed=1")
    sys.exit()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
print("started", flush=True)
(marks / f"started-{config['x']}").touch()
time.sleep(config.get("seconds", 300))
child.kill()
"""


def make_scripts(folder: Path) -> None:
    """Both, as `job.sh` and `job.py`."""
    (folder / "job.sh").write_text(SHELL)
    (folder / "job.py").write_text(PYTHON)


def metrics_of(record: dict[str, Any]) -> Any:
    """What a run's `metrics.json` holds; None where there is none."""
    try:
        return json.loads((record["dir"] / "metrics.json").read_text())
    except FileNotFoundError:
        return None

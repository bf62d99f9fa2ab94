"""Serve the deployments from this process until Ctrl-C: `make serve`."""

from __future__ import annotations

import os
from contextlib import ExitStack

from argus_tasks.server.embedded import hold
from argus_tasks.server.profile import configured_api_url


def main() -> None:
    """Start the embedded server, unless one is configured, and serve the deployments."""
    with ExitStack() as stack:
        if configured_api_url() is None:
            held = hold(notice=print)
            stack.callback(held.release)
            os.environ.update(held.environment())
            print(f"Prefect UI: {held.api_url.removesuffix('/api')}")
            print("In other shells, first:")
            print(f"  {held.export_line()}")
        print(
            "Once both are listed below: prefect deployment run sweep/default"
            """ --param configs='[{"dataset": "nile", "model": "naive", "lags": 12}]' --watch""",
            flush=True,
        )
        # Imported only now, for Prefect reads the server's address at import.
        from prefect import serve

        from argus_tasks.orchestration.nightly.schedule import schedule_state
        from deployments.definitions import benchmark_nightly, sweep_default

        # Deploying anew would switch its schedule off.
        before = schedule_state()
        is_on = before is not None and before.active
        print(f"benchmark/nightly: its schedule is {'on' if is_on else 'off'}", flush=True)
        serve(sweep_default(), benchmark_nightly(active=is_on), pause_on_shutdown=False)


if __name__ == "__main__":
    main()

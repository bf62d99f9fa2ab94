"""The command line: `argus-tasks`, and `python -m argus_tasks`.

Everything is imported within `main`, so that a Ctrl-C during the imports (0.3 s) shows no
traceback.
"""


def main() -> int:
    """Run the command line; returns the exit code."""
    try:
        from argus_tasks.cli.main import main as command_line

        return command_line()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())

"""The command line: `argus-tasks`, and `python -m argus_tasks`.

Nothing is imported here before a Ctrl-C is no traceback any more: the rest takes a third of a
second.
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

"""The door of the `redraw` command: Ctrl-C while the command itself still loads ends it without a traceback."""

import sys


def main() -> None:
    """Entry point of the `redraw` script and of `python -m redraw`."""
    try:
        from redraw.cli import main as command
    except KeyboardInterrupt:
        print("redraw: interrupted", file=sys.stderr)
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()

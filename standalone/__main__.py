"""The command `facepass-server`."""

import sys

from standalone.cli import run


def main() -> None:
    """Run the command line's command and exit with its code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

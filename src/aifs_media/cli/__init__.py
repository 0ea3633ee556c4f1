"""The command `aifs-media`. Needs the extra `cli`: `pip install 'aifs-media[cli]'`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code; 3 if the packages of the extra are not installed."""
    try:
        from aifs_media.cli.application import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("aifs_media"):
            raise
        sys.stderr.write(
            f"The command line needs {error.name!r}, which is not installed. Run: pip install 'aifs-media[cli]'\n"
        )
        sys.exit(3)
    sys.exit(run(sys.argv[1:]))

"""`python -m aifs_media` is the command `aifs-media`."""

from __future__ import annotations

from aifs_media.cli import main

if __name__ == "__main__":
    main()

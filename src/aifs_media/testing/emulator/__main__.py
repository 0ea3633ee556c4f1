"""`python -m aifs_media.testing.emulator --port N`."""

from __future__ import annotations

import argparse

from aifs_media.testing.emulator.serving import serve


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m aifs_media.testing.emulator",
        description="The emulated providers on this machine. Prints one line of JSON when ready.",
    )
    parser.add_argument("--port", type=int, default=0, help="port of the API; a free one by default")
    parser.add_argument("--delivery-port", type=int, default=0, help="port of the delivery host; a free one by default")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds a generation runs")
    options = parser.parse_args()
    serve(options.port, delivery_port=options.delivery_port, latency=options.latency)


if __name__ == "__main__":
    main()

"""The process in which Sail runs: a Spark Connect server without a JVM, on the loopback, for one run.

Started by `engines/sail.py` as `python -m transhume.engines.sail_child`. It says its port on a line and ends when its
standard input does, so also when whoever started it is gone.
"""

import os
import sys

from pysail.spark import SparkConnectServer

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Serve until nobody holds the other end of the standard input."""
    server = SparkConnectServer(LOOPBACK, 0)
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    sys.stdout.write(f"{address[1]}\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    # threads of the server that are busy would be waited for
    os._exit(0)


if __name__ == "__main__":
    main()

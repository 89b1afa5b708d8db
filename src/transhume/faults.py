"""Points at which a test may make this process die, fail or hang: `TRANSHUME_FAULT=point:nth:kill|raise|hang`.

Without that variable a point costs one dictionary look-up. Nothing else of transhume depends on it.
"""

import os
import signal
import time
from collections import Counter

_VARIABLE = "TRANSHUME_FAULT"
_reached: Counter[str] = Counter()


class PlantedFault(OSError):
    """What `raise` raises: an error that no code of ours expects by name."""


def reach(point: str) -> None:
    """Say that this point was reached; the nth time at the point that is named in the variable, the fault happens."""
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return
    name, nth, action = wanted.rsplit(":", 2)
    if name != point:
        return
    _reached[point] += 1
    if _reached[point] != int(nth):
        return
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "hang":
        time.sleep(3600)
    else:
        message = f"planted at {point}"
        raise PlantedFault(message)

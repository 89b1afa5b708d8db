"""How much of a machine one command may use: processors and memory, as a container allows. Nothing is measured here."""

import math
import os
from dataclasses import dataclass
from pathlib import Path

MEMORY_BYTES_MIN = 256 * 2**20
"""With less not even one batch finds room."""
_MEMORY_BYTES = 768 * 2**20
"""What a run with two processors takes at most, measured at 1 and 4 M rows; each further one holds a batch more."""
_PROCESSORS_OF_THAT = 2
_PER_PROCESSOR_BYTES = 256 * 2**20
_SHARE_OF_MACHINE = 2
"""Unasked a command takes at most one part in so many of the memory: the rest is the server's, and others'."""
_NO_BOUND = 2**60
"""Control groups write numbers beyond this where nothing is bounded."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Processors and bytes of memory of all processes of one command together.

    The memory is what the parts below are cut from, so it is kept to, but not enforced: rows of many megabytes each,
    or a join that fits nowhere, may take more.
    """

    jobs: int
    memory_bytes: int

    @property
    def engine_memory_bytes(self) -> int:
        """The bound of the engine's buffers: half; beyond it the engine writes to disk."""
        return self.memory_bytes // 2

    @property
    def batch_rows_max(self) -> int:
        """Rows of a batch at most: some four batches are in memory at once."""
        return max(4_096, min(65_536, 65_536 * self.memory_bytes // _MEMORY_BYTES))

    @property
    def batch_bytes_max(self) -> int:
        """Arrow bytes of a batch at most."""
        return max(4 * 2**20, min(24 * 2**20, 24 * 2**20 * self.memory_bytes // _MEMORY_BYTES))


def capacity_of_machine(jobs: int | None = None, memory_bytes: int | None = None) -> Capacity:
    """Return what was asked for, and where nothing was, what this process may use of the machine.

    Processors: those that the system and the control group grant. Memory: 768 MiB for two of them and 256 MiB for
    each further one, but at most half of the machine's, or of the control group's, and never under MEMORY_BYTES_MIN.
    """
    jobs = processors() if jobs is None else jobs
    if memory_bytes is None:
        wanted = _MEMORY_BYTES + _PER_PROCESSOR_BYTES * max(0, jobs - _PROCESSORS_OF_THAT)
        memory_bytes = max(MEMORY_BYTES_MIN, min(wanted, memory() // _SHARE_OF_MACHINE))
    return Capacity(jobs, memory_bytes)


def processors(root: Path = Path("/")) -> int:
    """Return how many processors this process may use, at least 1: of a quota of 1.5 both."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _control_groups(root):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal() and int(period):
            found = min(found, math.ceil(int(quota) / int(period)))
    quota, period = (_text(root / f"sys/fs/cgroup/cpu/cpu.cfs_{name}_us") for name in ("quota", "period"))
    if quota.isdecimal() and period.isdecimal() and int(period):
        found = min(found, math.ceil(int(quota) / int(period)))
    return max(1, found)


def memory(root: Path = Path("/")) -> int:
    """Return how many bytes of memory this process may use: the machine's, or what its control group grants."""
    found = _NO_BOUND
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    bounds = [_text(folder / "memory.max") for folder in _control_groups(root)]
    bounds.append(_text(root / "sys/fs/cgroup/memory/memory.limit_in_bytes"))
    return min([found, *(int(bound) for bound in bounds if bound.isdecimal())])


def _control_groups(root: Path) -> list[Path]:
    """Return the folders of this process's control group and of those around it; each may bound it.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    top = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            own = top / line.removeprefix("0::/")
            return [folder for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return [top]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""

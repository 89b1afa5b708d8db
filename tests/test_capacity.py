"""What one command may use of a machine, as control groups of both versions say it."""

from pathlib import Path

import pytest

from transhume.capacity import Capacity, capacity_of_machine, memory, processors

_GIB = 2**30


def _write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def many(monkeypatch):
    """A machine with 16 processors and 64 GiB."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr("os.sysconf", lambda name: {"SC_PHYS_PAGES": 2**24, "SC_PAGE_SIZE": 4096}[name])


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (16, 64 * _GIB)),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000", "sys/fs/cgroup/memory.max": "max"},
         (16, 64 * _GIB)),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000",
          "sys/fs/cgroup/a/memory.max": str(2 * _GIB)}, (2, 2 * _GIB)),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": str(_GIB)}, (1, _GIB)),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
          "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}, (16, 64 * _GIB)),
    ],
)  # fmt: skip
def test_control_groups_bound_what_is_there(tmp_path, files, expected):
    """The tightest bound of the group and of those around it counts; `max`, -1 and huge numbers bound nothing."""
    root = _write(tmp_path, files)
    assert (processors(root), memory(root)) == expected


@pytest.mark.parametrize(
    ("jobs", "machine_gib", "expected_mib"), [(2, 64, 768), (1, 64, 768), (6, 64, 1792), (2, 1, 512), (2, 0.25, 256)]
)
def test_unasked_it_takes_half_of_the_machine_at_most(monkeypatch, jobs, machine_gib, expected_mib):
    """768 MiB for two processors, 256 more for each further one; on a small machine half of it, but 256 at least."""
    monkeypatch.setattr("transhume.capacity.memory", lambda: int(machine_gib * _GIB))
    assert capacity_of_machine(jobs) == Capacity(jobs, expected_mib * 2**20)


def test_batches_shrink_with_the_memory_and_do_not_grow_with_it():
    """Half goes to the engine; a third of the memory makes batches a third as large, more does not make them larger."""
    small, usual, large = (Capacity(2, mib * 2**20) for mib in (256, 768, 4096))
    assert [each.engine_memory_bytes // 2**20 for each in (small, usual, large)] == [128, 384, 2048]
    assert [each.batch_rows_max for each in (small, usual, large)] == [21_845, 65_536, 65_536]
    assert [each.batch_bytes_max // 2**20 for each in (small, usual, large)] == [8, 24, 24]

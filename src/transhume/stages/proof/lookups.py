"""What the oracle asks of lookups that are too large to hold: the entries of the keys of one batch, from the file."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transhume.oracle import Rows
from transhume.rules.lookup import Lookup
from transhume.rules.rule import Rule

_BATCH_ROWS = 65_536


class FrozenEntries(Mapping[str, str | None]):
    """The entries of a frozen lookup, key text to value text; in memory are those that were prepared or asked for.

    It goes to other processes by its path.
    """

    def __init__(self, path: Path) -> None:
        """Take the file; nothing is read."""
        self._path = path
        self._asked: set[str] = set()
        self._known: dict[str, str | None] = {}

    def prepare(self, keys: Collection[str]) -> None:
        """Read the entries of these keys, in one pass over the file, and forget all others."""
        self._asked, self._known = set(keys), {}
        self._read(self._asked)

    def __getitem__(self, key: str) -> str | None:
        if key not in self._asked:
            self._asked.add(key)
            self._read({key})
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        for batch in self._batches():
            yield from batch.column("key").to_pylist()

    def __len__(self) -> int:
        return int(pq.read_metadata(self._path).num_rows)

    def _read(self, keys: Collection[str]) -> None:
        if not keys:
            return
        wanted = pa.array(list(keys), pa.string())
        for batch in self._batches():
            found = batch.filter(pc.is_in(batch.column("key"), value_set=wanted))
            if found.num_rows:
                self._known.update(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def _batches(self) -> Iterator[pa.RecordBatch]:
        with pq.ParquetFile(self._path, memory_map=True) as file:
            yield from file.iter_batches(_BATCH_ROWS, columns=["key", "value"])


def prepare_lookups(rows: Rows, rules: Iterable[Rule] | None = None) -> None:
    """Read what the lookups of a mapping's rules (or of these) hold for these rows, and forget those of earlier ones.

    Effects: one pass over the file of each lookup; without it, every key that is asked for takes one of its own.
    """
    wanted: dict[str, set[str]] = {}
    lookups = rows.oracle.lookups
    for rule in rows.oracle.mapping.columns.values() if rules is None else rules:
        for each in _lookups_in(rule):
            if isinstance(lookups.get(each.name), FrozenEntries):
                keys = rows.keys((each.column,))
                wanted.setdefault(each.name, set()).update(key[0] for key in keys if key is not None)
    for name, texts in wanted.items():
        entries = lookups[name]
        assert isinstance(entries, FrozenEntries)
        entries.prepare(texts)


def _lookups_in(rule: Rule) -> Iterator[Lookup]:
    if isinstance(rule, Lookup):
        yield rule
    for argument in rule.arguments():
        if isinstance(argument, Rule):
            yield from _lookups_in(argument)

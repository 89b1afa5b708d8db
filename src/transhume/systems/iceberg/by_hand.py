"""Taking a published run out of a lake without transhume: this file's text is the script, with its `RUN` filled in.

So nothing of transhume is imported here. It needs Python with pyiceberg, pyarrow and SQLAlchemy.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn

import pyarrow as pa
import sqlalchemy
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.table import Table

RUN = "{}"
"""JSON: which run, which catalog, and by table what the ledger says of it."""
_ROWS_AT_ONCE = 65_536
Row = tuple[str, ...]


def main(run: Mapping[str, Any], arguments: Sequence[str]) -> int:
    """Take the run back, or only say what would be done (`--preview`); return the exit code."""
    uri = os.environ.get("LAKE_CATALOG") or run["catalog"]
    catalog = SqlCatalog(run["catalog_name"], uri=uri, init_catalog_tables="false")
    _require_newest(catalog, run)
    works = [_Work(catalog, run, table) for table in run["tables"]]
    for work in works:
        _tell(f"{work.name}: {work.words}")
    if "--preview" in arguments:
        return 0
    for work in works:
        work.take_back()
        _tell(f"{work.name}: done")
    _tell_ledger(catalog, run)
    _tell(
        f"run {run['run']} is rolled back; 'transhume rollback {run['run']}' has its journal know and writes the papers"
    )
    return 0


class _Work:
    """One table: which of its rows the run brought or changed, and what is to be done with each, by key."""

    def __init__(self, catalog: SqlCatalog, run: Mapping[str, Any], told: Mapping[str, Any]) -> None:
        """Compare the table before the run, as published, and now. Stops where the ledger's counts differ."""
        self.name = str(told["table"])
        self._catalog, self._run, self._told = catalog, run["run"], told
        self._table: Table | None = None
        with suppress(NoSuchTableError):
            self._table = catalog.load_table((*run["namespace"].split("."), self.name))
        self._after: pa.Table | None = None
        self.words = "is not there any more"
        if self._table is not None:
            self._compare(self._mine())

    def take_back(self) -> None:
        """Write the table without the run's rows, in one commit; it fails where others commit first."""
        if self._table is None or self._after is None:
            return
        if self._told["created"] and not self._after.num_rows:
            self._catalog.drop_table(self._table.name())
        elif self._head() == self._told["published"] and self._told["before"] is not None:
            # Nobody wrote since: what was there before is there still.
            self._table.manage_snapshots().rollback_to_snapshot(self._told["before"]).commit()
        else:
            self._table.overwrite(self._after, snapshot_properties={"transhume.undone-run": self._run})

    def _mine(self) -> dict[Row, tuple[Row, Row | None]]:
        """Return key -> content as published, content before (None: the run brought the row)."""
        before = dict(self._rows(self._told["before"]))
        mine = {
            key: (row, before.get(key)) for key, row in self._rows(self._told["published"]) if before.get(key) != row
        }
        brought = sum(was is None for _, was in mine.values())
        wanted = (self._told["inserted"], self._told["updated"])
        if (brought, len(mine) - brought) != wanted:
            _stop(
                f"{self.name}: {brought} rows came with the run and {len(mine) - brought} were changed by it; the "
                f"ledger says {wanted[0]} and {wanted[1]}"
            )
        return mine

    def _compare(self, mine: Mapping[Row, tuple[Row, Row | None]]) -> None:
        stays: list[bool] = []
        seen: Counter[Row] = Counter()
        back: set[Row] = set()
        edited = done = 0
        for key, row in self._rows(self._head()):
            published, was = mine.get(key, (None, None))
            stays.append(published is None or row != published)
            if published is None:
                continue
            seen[key] += 1
            if row == was:
                done += 1
            elif row != published:
                edited += 1
            elif was is not None:
                back.add(key)
        if any(count > 1 for count in seen.values()):
            _stop(f"{self.name}: a row of the run stands there twice; others have copied it")
        goes, head = len(stays) - sum(stays), self._head()
        if goes and head is not None:
            self._after = self._content(head).filter(pa.array(stays, pa.bool_()))
        if back:
            was_there = [key in back for key, _ in self._rows(self._told["before"])]
            images = self._content(self._told["before"]).filter(pa.array(was_there, pa.bool_()))
            assert self._after is not None
            self._after = pa.concat_tables([self._after, images.select(self._after.column_names)])
        self.words = (
            f"{goes - len(back)} rows of the run go, {len(back)} get their former content back, {edited} stay because "
            f"others edited them, {len(mine) - len(seen)} were removed by others, {done} are as before the run already"
        )

    def _rows(self, snapshot: int | None) -> Iterator[tuple[Row, Row]]:
        """Yield key and content of each row of a snapshot, in its order; values as texts that tell all apart."""
        if snapshot is None:
            return
        rows = self._content(snapshot)
        if missing := sorted(set(self._told["columns"]) - set(rows.column_names)):
            _stop(f"{self.name}: column {missing[0]} is not there; others changed the table's columns")
        places = [self._told["columns"].index(name) for name in self._told["key"]]
        for batch in rows.select(self._told["columns"]).to_batches(_ROWS_AT_ONCE):
            values = [list(map(repr, column.to_pylist())) for column in batch.columns]
            for row in zip(*values, strict=True):
                yield tuple(row[place] for place in places), row

    def _content(self, snapshot: int) -> pa.Table:
        assert self._table is not None
        if self._table.metadata.snapshot_by_id(snapshot) is None:
            _stop(f"{self.name}: snapshot {snapshot} was expired, so its rows are not known; use the backup")
        return self._table.scan(snapshot_id=snapshot).to_arrow()

    def _head(self) -> int | None:
        assert self._table is not None
        found = self._table.metadata.current_snapshot_id
        return None if found is None else int(found)


def _require_newest(catalog: SqlCatalog, run: Mapping[str, Any]) -> None:
    with catalog.engine.connect() as connection:
        rows = connection.execute(
            sqlalchemy.text("SELECT run, state, published_at FROM transhume_runs WHERE scope = :scope"), dict(run)
        ).all()
    mine = next((row for row in rows if row.run == run["run"]), None)
    if mine is None or mine.state != "published":
        _stop(f"the ledger does not call run {run['run']} published")
    later = sorted(row.run for row in rows if row.state == "published" and row.published_at > mine.published_at)
    if later:
        _stop(f"run {later[0]} was published later and may build on this one: take it back first")


def _tell_ledger(catalog: SqlCatalog, run: Mapping[str, Any]) -> None:
    values = {"run": run["run"], "at": datetime.now(UTC).isoformat(timespec="microseconds"), "report": run["report"]}
    with catalog.engine.begin() as connection:
        set_state = "UPDATE transhume_runs SET state = 'rolled_back' WHERE run = :run AND state = 'published'"
        if connection.execute(sqlalchemy.text(set_state), values).rowcount != 1:
            _stop("the ledger was changed meanwhile; the tables are done")
        told = "INSERT INTO transhume_undone (run, undone_at, report) VALUES (:run, :at, :report)"
        connection.execute(sqlalchemy.text(told), values)


def _tell(words: str) -> None:
    sys.stdout.write(f"{words}\n")


def _stop(why: str) -> NoReturn:
    message = f"{why}; nothing more was changed"
    raise SystemExit(message)


if __name__ == "__main__":
    sys.exit(main(json.loads(RUN), sys.argv[1:]))

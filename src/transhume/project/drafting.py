"""Drafting a plan: both systems looked at, profiled where they can be read, matched, and written as text."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from transhume.batches import Event
from transhume.errors import UsageError
from transhume.facts import Catalog, Profile
from transhume.matching.plan_text import TableDraft, created_drafts, plan_text, table_drafts
from transhume.matching.proposals import Matching, match, ranked
from transhume.project.profiling import profile_system
from transhume.stages.profile import ProfileBounds
from transhume.systems import open_source, open_target

_DRAFT_ROWS_MAX = 200_000
"""A draft looks at so many rows of a table; what a value says it says with fewer too."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What was found out about two systems, and the mappings that follow from it."""

    matching: Matching
    tables: tuple[TableDraft, ...]
    one_instant: bool = True
    """Whether the source has a snapshot; where not, the plan says so."""

    def plan(self, name: str, *, source: str, target: str, schema_file: str = "") -> str:
        """Return the text of a plan; `source` and `target` are written as they are: references, never secrets."""
        return plan_text(
            self.matching,
            self.tables,
            name=name,
            source=source,
            target=target,
            schema_file=schema_file,
            one_instant=self.one_instant,
        )

    def tsv(self) -> str:
        """Return every candidate with its score, a line each, best first; names hold no tab or line feed there."""
        lines = ["source_table\tsource_column\ttarget_table\ttarget_column\tscore"]
        for candidate, value in ranked(self.matching):
            names = (candidate.source.table, candidate.source.name, candidate.target.table, candidate.target.name)
            lines.append("\t".join([*(" ".join(name.split()) for name in names), f"{value:.6f}"]))
        return "\n".join(lines) + "\n"


def draft(
    source_url: str,
    target_url: str,
    base: Path,
    *,
    values: bool = True,
    listener: Callable[[Event], None] | None = None,
) -> Draft:
    """Return the draft for two systems; `values` False looks at tables and columns only.

    The target may be any system whose tables can be listed, also one that a run could not write to.
    Effects: none in the two systems; temporary files.
    Raises: UsageError, SystemUnavailable, SystemRefused.
    """
    source, ours = _look(source_url, base, values=values, listener=listener)
    target, theirs = _look(target_url, base, values=values, listener=listener)
    if not source.tables:
        message = f"the source '{source.identity}' has no tables; there is nothing to draft"
        raise UsageError(message)
    matching = match(source, target, ours, theirs)
    drafts = table_drafts(matching, ours)
    if not target.tables:
        drafts = created_drafts(source, ours, matching.lonely_sources)
        matching = Matching((), matching.scores, (), (), matching.ignored)
    return Draft(matching, tuple(drafts), source.are_of_one_instant(source.tables))


def _look(
    url: str, base: Path, *, values: bool, listener: Callable[[Event], None] | None
) -> tuple[Catalog, Profile | None]:
    try:
        source = open_source(url, base)
    except UsageError:
        target = open_target(url, base)
        try:
            return target.catalog(), None
        finally:
            target.close()
    try:
        catalog = source.catalog()
        bounds = ProfileBounds(rows_max=_DRAFT_ROWS_MAX, sample_rows_max=5_000)
        return catalog, profile_system(source, catalog, bounds=bounds, listener=listener) if values else None
    finally:
        source.close()

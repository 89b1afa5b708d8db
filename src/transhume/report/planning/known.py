"""What a plan document is made of; everything was read or computed elsewhere, nothing here opens a database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from transhume.batches import TargetTable
from transhume.checks.counts import TableTally
from transhume.checks.personal import suspicion
from transhume.errors import Finding
from transhume.estimate.calendar import Span
from transhume.estimate.effort import Effort
from transhume.estimate.rates import MachineTime
from transhume.estimate.risks import Risk
from transhume.estimate.simulation import Chances
from transhume.facts import Catalog, Profile
from transhume.matching.doubts import drafted_words
from transhume.plan.approval import Approved
from transhume.plan.document import Path_
from transhume.plan.model import Plan, TableMapping
from transhume.plan.open import OPEN, open_paths
from transhume.plan.splicing import flow
from transhume.report.paper import Decidable

STATE_DIGITS = 16
"""Of the plan's hash, in a workbook with decisions."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The estimate: days are working days; `decided` are phases whose days people wrote into the plan."""

    effort: Effort
    chances: Chances
    spans: Sequence[Span]
    finish: Mapping[int, date]
    machine: MachineTime | None
    risks: Sequence[Risk]
    decided: Mapping[str, float]
    waves: Mapping[str, MachineTime] = field(default_factory=dict)
    """Machine time of each wave, as far as it is known."""

    def planned(self, phase: str) -> float:
        """Return the whole working days of a phase, without what was found in the data."""
        return self.decided.get(phase, self.effort.planned[phase])

    @property
    def planned_total(self) -> float:
        """Whole working days of all phases, without what was found in the data."""
        return sum(self.planned(phase) for phase in self.effort.phases)


@dataclass(frozen=True, slots=True)
class Known:
    """The plan with what is known of both sides. `tallies` are empty where the data could not be looked at.

    `changes` says how the plan differs from what was approved; `runs` names the runs of this project so far.
    """

    plan: Plan
    source: Catalog
    target: Catalog
    tables: Mapping[str, TargetTable]
    tallies: Mapping[str, TableTally]
    rows: Mapping[str, int]
    findings: Sequence[Finding]
    timing: Timing
    target_name: str
    plan_hash: str
    version: str
    made_at: str
    environment: str = ""
    approved: Approved | None = None
    changes: Sequence[str] = ()
    runs: Sequence[str] = field(default=())
    waves: Mapping[str, str] = field(default_factory=dict)
    """Waves of the plan that are published, each with its run."""
    profile: Profile | None = None
    """What the source's rows are like; None where they were not looked at."""
    measured: Mapping[str, float] = field(default_factory=dict)
    """Seconds that steps took here when they were last done: backup, restore, drill, run, undo."""
    undecided: Sequence[Finding] = ()
    """Decisions that are open in the plan; with any, the document is a draft and no row's fate is known."""

    def mappings(self) -> Sequence[TableMapping]:
        """Return the table mappings in the plan's order."""
        return list(self.plan.tables.values())

    def good(self, mapping: str) -> int:
        """Return how many rows of a mapping would be loaded, as far as the data were looked at."""
        tally = self.tallies.get(mapping)
        return 0 if tally is None else tally.read - tally.rejected - tally.filtered - tally.deduplicated

    def errors(self) -> list[Finding]:
        """Return the findings that stand against a run."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def rows_of(self, mapping: str, codes: frozenset[str] | None = None, column: str | None = None) -> int:
        """Return how many wrong rows the findings count for a mapping: of these codes, for this target column."""
        return sum(
            finding.count or 0
            for finding in self.findings
            if finding.table == mapping
            and finding.code not in {"reject_limit", "unknown_name"}
            and (codes is None or finding.code in codes)
            and (column is None or finding.column == column)
        )

    @property
    def state(self) -> str:
        """The plan's state as the decision columns of a workbook name it."""
        return self.plan_hash[:STATE_DIGITS]

    def decidable(self, kind: str, *path: str) -> Decidable:
        """Return what `import-decisions` is told about a row of a table: the key that it is about, as it stands."""
        document = self.plan.origin.document
        node = document.content if document is not None and kind == "rule" else {}
        for part in path:
            node = node.get(part, {})
        return Decidable(json.dumps([kind, *path], ensure_ascii=False), flow(node) if node else "")

    def decidable_open(self, path: Sequence[str | int]) -> Decidable:
        """Return what is decided about an open decision: what is to stand in the place of TBD."""
        return Decidable(json.dumps(["open", *path], ensure_ascii=False), OPEN)

    def open_places(self) -> Sequence[tuple[Path_, Finding]]:
        """Return where decisions are open, each with its finding, in the plan's order."""
        document = self.plan.origin.document
        if document is None or not self.undecided:
            return []
        found = {finding.position: finding for finding in self.undecided}
        places = [(path, found.get(document.position(path, of_key=False))) for path in open_paths(document)]
        return [(path, finding) for path, finding in places if finding is not None]

    def open_columns(self, mapping: TableMapping) -> Mapping[str, str]:
        """Return the target columns of a mapping whose rule is open, wholly or in part, as the plan has them."""
        document = self.plan.origin.document
        below = ("tables", mapping.name, "columns")
        found = {}
        for path, _ in self.open_places():
            if document is not None and path[:3] == below and len(path) > len(below):
                name = str(path[3])
                found[name] = flow(document.content["tables"][mapping.name]["columns"][name])
        return found

    def drafted(self, mapping: TableMapping, column: str) -> str:
        """Return what a draft wrote behind a column's rule: score, reasons, what else it could be; "" for nothing."""
        document = self.plan.origin.document
        return "" if document is None else drafted_words(document, ("tables", mapping.name, "columns", column))

    def decidable_finding(self, finding: Finding) -> Decidable:
        """Return what is decided about a finding: a spelling's canonical name, or that it is accepted as it is."""
        if finding.proposal is not None:
            lookup, spelling, canonical = finding.proposal
            thing = json.dumps(["spelling", lookup, spelling, canonical], ensure_ascii=False)
            return Decidable(thing, f"'{spelling}' means {canonical}" if canonical else f"'{spelling}' is unknown")
        for open_path, undecided in self.open_places():
            if undecided == finding:
                return self.decidable_open(open_path)
        document, place = self.plan.origin.document, finding.position
        path: list[str | int] = []
        if document is not None and place is not None:
            at = (place.line - 1, place.column - 1)
            path = next((list(key) for key, found in document.key_places.items() if found == at), [])
        return Decidable(json.dumps(["finding", finding.code, *path], ensure_ascii=False))

    def message(self, finding: Finding) -> str:
        """Return a finding's words, without the keys of rows where these look personal."""
        mapping = self.plan.tables.get(finding.table or "")
        names = [*(mapping.key if mapping else ()), *([finding.column] if finding.column else [])]
        if any(suspicion(name, finding.sample_keys) is not None for name in names):
            return finding.message.split(" (for example", 1)[0]
        return finding.message

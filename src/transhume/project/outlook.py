"""What a run would do, before anybody runs it: order, rows, tables, expected rejects, checks, what changed."""

from dataclasses import asdict, dataclass
from typing import Any

from transhume.batches import TargetTable
from transhume.checks.counts import TableTally
from transhume.compiler import table_order
from transhume.errors import Finding
from transhume.plan.approval import Approved
from transhume.plan.model import TableMapping
from transhume.project.approving import differences
from transhume.project.workplace import Listener, Workplace
from transhume.stages.check import Prediction


@dataclass(frozen=True, slots=True)
class Step:
    """One table mapping as a run would take it: `expected` says where its rows would go."""

    mapping: str
    source_table: str
    target_table: str
    creates: bool
    columns: tuple[str, ...]
    expected: TableTally
    checks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the step as JSON values."""
        return {
            "mapping": self.mapping,
            "source_table": self.source_table,
            "target_table": self.target_table,
            "creates": self.creates,
            "columns": list(self.columns),
            "checks": list(self.checks),
            "expected": self.expected.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """The steps of a run in order, what stands against it, and how the plan stands to what was approved.

    `changes` is empty where nothing differs; `approved` is None where nobody has signed.
    """

    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]
    approved: Approved | None
    changes: tuple[str, ...]
    growth: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the outlook as JSON values; findings stand apart, as `check` gives them."""
        signatures = [] if self.approved is None else [asdict(each) for each in self.approved.signatures]
        return {
            "steps": [step.to_dict() for step in self.steps],
            "approved_by": signatures,
            "changed_since_approval": list(self.changes),
            "rows_since_approval": list(self.growth),
        }


def outlook(place: Workplace, listener: Listener | None) -> Outlook:
    """Return what a run would do; see `Project.outlook`."""
    with place.systems() as systems:
        systems.require_sound()
        refusals = systems.target.refusals(systems.in_order())
        with place.scratch(systems) as context:
            prediction = Prediction(context)
            for event in prediction.events():
                if listener is not None:
                    listener(event)
            findings = [*systems.findings, *prediction.findings()]
            rows = {table: sum(each.row_count for each in found) for table, found in context.segments.items()}
        findings += [Finding("refused", "error", sentence) for sentence in refusals]
        steps = [
            _step(systems.plan.tables[name], systems.tables[name], prediction.tallies[name])
            for group in table_order(systems.plan)
            for name in group
        ]
    approved, changes, growth = differences(place, rows)
    return Outlook(tuple(steps), tuple(findings), approved, tuple(changes), tuple(growth))


def _step(mapping: TableMapping, target: TargetTable, expected: TableTally) -> Step:
    columns = [
        f"{column.name} {column.type}" + ("" if column.nullable else " not null") for column in target.table.columns
    ]
    checks = [f"{check.name} ({check.then})" for check in mapping.checks]
    return Step(
        mapping=mapping.name,
        source_table=mapping.from_,
        target_table=target.table.name,
        creates=target.create,
        columns=tuple(columns),
        expected=expected,
        checks=tuple(checks),
    )

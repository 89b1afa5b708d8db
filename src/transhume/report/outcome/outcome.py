"""What is known of a run: its journal, its plan if that is still the same, the newest validation. Nothing is read here.

No rejected row and no value of one is known. Keys of rows that a check names are shown as far as they may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transhume.checks.counts import TableTally
from transhume.checks.personal import masked, suspicion
from transhume.journal import Entry
from transhume.plan.model import Plan
from transhume.report.outcome.places import place_of


@dataclass(frozen=True, slots=True)
class Check:
    """One check as it was run: `when` says whether before readers saw anything ("run") or after ("validation")."""

    name: str
    table: str
    count: int
    covered: str
    severity: str
    detail: str
    sample_keys: tuple[str, ...]
    duration_s: float
    when: str
    plan: str = ""
    """Where the plan decides: file:line:column; "" where the plan is no longer the one that ran."""
    sql: str = ""
    """What shows the wrong rows on the target, where SQL does."""

    @property
    def state(self) -> str:
        """`passed`, `failed` (severity error), `warned`, or `noted`."""
        if not self.count:
            return "passed"
        return {"error": "failed", "warning": "warned"}.get(self.severity, "noted")

    def to_dict(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        names = (
            "name",
            "table",
            "when",
            "state",
            "severity",
            "count",
            "covered",
            "detail",
            "duration_s",
            "plan",
            "sql",
        )
        return {**{name: getattr(self, name) for name in names}, "sample_keys": list(self.sample_keys)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and what became of it. `plan` is None where the plan is no longer the one that ran."""

    run: str
    state: str
    resumed: bool
    entries: Sequence[Entry]
    tallies: Sequence[TableTally]
    fed: Mapping[str, int]
    stages_s: Mapping[str, float]
    duration_s: float
    published: Mapping[str, Any]
    checks_during: Sequence[Mapping[str, Any]]
    validation: Mapping[str, Any] | None
    plan: Plan | None
    plan_name: str
    version: str
    made_at: str
    worksheet: str = ""
    """Name of the oracle's worksheet, where it lies beside the report."""

    @property
    def profile(self) -> Mapping[str, Any]:
        """By mapping the numbers of its linked fields, as the newest validation counted them."""
        found: Mapping[str, Any] = (self.validation or {}).get("profile", {})
        return found

    def last(self, kind: str) -> Mapping[str, Any]:
        """Return the fields of the newest event of a kind; empty where there is none."""
        return next((entry.event.fields for entry in reversed(self.entries) if entry.event.kind == kind), {})

    def at(self, kind: str) -> str:
        """Return when the newest event of a kind was journalled (UTC), "" where there is none."""
        return next((entry.at for entry in reversed(self.entries) if entry.event.kind == kind), "")

    @property
    def binding(self) -> Mapping[str, Any]:
        """What the run was bound to: plan, systems, schemas, version."""
        started = next((entry.event.fields for entry in self.entries if entry.event.kind == "run_started"), {})
        found: Mapping[str, Any] = started.get("binding", {})
        return found

    @property
    def head(self) -> str:
        """The digest of the journal's last entry: whoever knows it knows that the journal is this one."""
        return self.entries[-1].digest if self.entries else ""

    def checks(self) -> list[Check]:
        """Return every check, the failed ones first, then warnings; those of the validation before those of the run."""
        found = [self._check(each, "validation") for each in (self.validation or {}).get("checks", ())]
        found += [self._check(each, "run") for each in self.checks_during]
        order = {"failed": 0, "warned": 1, "noted": 2, "passed": 3}
        return sorted(found, key=lambda check: order[check.state])

    def failed(self) -> list[Check]:
        """Return the checks that failed."""
        return [check for check in self.checks() if check.state == "failed"]

    @property
    def verdict(self) -> str:
        """`failed`, `unfinished`, `rolled back`, `given up`, `unproved` (nobody validated since) or `passed`."""
        if self.state in {"rolled back", "given up"}:
            return self.state
        if self.failed() or self.state == "failed":
            return "failed"
        if self.state not in {"finished", "finalized"}:
            return "unfinished"
        return "passed" if self.validation is not None else "unproved"

    def total(self, bucket: str) -> int:
        """Return the rows of all tables in a bucket of the accounting."""
        return sum(int(getattr(tally, bucket)) for tally in self.tallies)

    def _check(self, fields: Mapping[str, Any], when: str) -> Check:
        table = str(fields.get("table", ""))
        return Check(
            name=str(fields.get("name", "")),
            table=table,
            count=int(fields.get("count", 0)),
            covered=str(fields.get("covered", "")),
            severity=str(fields.get("severity", "error")),
            detail=str(fields.get("detail", "")),
            sample_keys=self._shown_keys(table, [str(key) for key in fields.get("sample_keys", ())]),
            duration_s=float(fields.get("duration_s", 0.0)),
            when=when,
            plan=place_of(self.plan, str(fields.get("name", "")), table, str(fields.get("covered", ""))),
            sql=str(fields.get("sql", "")),
        )

    def _shown_keys(self, table: str, keys: Sequence[str]) -> tuple[str, ...]:
        """Return a few keys; masked where they look personal, or where nobody can say which columns they are."""
        mapping = self.plan.tables.get(table) if self.plan is not None else None
        names = [*mapping.key] if mapping is not None else [""]
        is_hidden = mapping is None or any(suspicion(name, keys) is not None for name in names)
        return tuple(masked(key) if is_hidden else key for key in keys)

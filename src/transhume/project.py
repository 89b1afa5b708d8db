"""The library's front door: a project folder, and what can be done with it. Commands are thin over this."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout

from transhume.batches import Event, TargetTable
from transhume.checks import CheckResult
from transhume.checks.counts import TableTally, tally
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.engines.duckdb import DuckDBEngine
from transhume.errors import CheckFailed, Finding, LockHeld, PlanError, SystemRefused, TranshumeError, UsageError
from transhume.facts import Catalog
from transhume.faults import reach
from transhume.journal import Journal, read_journal
from transhume.plan.load import FILE_NAME, check_files, find_project, in_file_order, load
from transhume.plan.lock import plan_content, plan_hash
from transhume.plan.model import Plan
from transhume.stages.binding import (
    Binding,
    holder,
    open_run,
    run_folders,
    schema_fingerprint,
    target_fingerprint,
)
from transhume.stages.check import Prediction
from transhume.stages.context import Limits, RunContext, RunFolder, WorkContext
from transhume.stages.preview import PreviewedRow, preview
from transhume.stages.run import run as run_stages
from transhume.stages.statements import Statement, statements
from transhume.stages.validate import validate_published
from transhume.systems import open_source, open_target
from transhume.systems.system import RunIdentity, Source, Target
from transhume.version import __version__
from transhume.words import hint

Listener = Callable[[Event], None]
_ENGINE_MEMORY_BYTES = 384 * 2**20
_ENGINE_THREADS = 2
_STATE = ".transhume"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did: where each row went, what was checked, where the rejects and the manifest are."""

    run: str
    state: str
    resumed: bool
    tables: tuple[TableTally, ...]
    checks: tuple[dict[str, Any], ...]
    published: dict[str, Any]
    rejects: Path
    artifacts: Path
    duration_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "run": self.run,
            "state": self.state,
            "resumed": self.resumed,
            "tables": [table.to_dict() for table in self.tables],
            "checks": list(self.checks),
            "published": self.published,
            "rejects": str(self.rejects),
            "artifacts": str(self.artifacts),
            "duration_s": self.duration_s,
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Everything that is wrong with a plan, or worth knowing."""

    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make a run impossible."""
        return tuple(finding for finding in self.findings if finding.severity == "error")


@dataclass(frozen=True, slots=True)
class Systems:
    """A plan with its two systems open and looked at."""

    plan: Plan
    source: Source
    target: Target
    source_catalog: Catalog
    target_catalog: Catalog
    tables: Mapping[str, TargetTable]
    findings: tuple[Finding, ...] = field(default=())


class Project:
    """A folder with a `transhume.yaml`. Opening it reads nothing; each call reads what it needs."""

    def __init__(self, folder: str | Path = ".", *, environment: Mapping[str, str] | None = None) -> None:
        """Take the folder, or the nearest one upwards that holds a plan.

        Raises: UsageError if there is none.
        """
        self.folder = find_project(folder)
        self._environment = os.environ if environment is None else environment

    @property
    def runs(self) -> Path:
        """Where the runs of this project keep journal, extract and rejects."""
        return self.folder / _STATE / "runs"

    def plan(self) -> Plan:
        """Read the plan.

        Raises: PlanError with every finding that needs no database.
        """
        return load(self.folder / FILE_NAME, self._environment)

    @contextmanager
    def systems(self, plan: Plan | None = None) -> Iterator[Systems]:
        """Open source and target and look at their tables; nothing is written.

        Raises: SystemUnavailable, SystemRefused; findings about the plan are returned, not raised.
        """
        plan = plan or self.plan()
        with ExitStack() as stack:
            resolve = plan.origin.resolver.resolve
            source = open_source(resolve(plan.source, plan.position("source")).reveal(), self.folder)
            stack.callback(source.close)
            target = open_target(resolve(plan.target, plan.position("target")).reveal(), self.folder)
            stack.callback(target.close)
            source_catalog, target_catalog = source.catalog(), target.catalog()
            tables, findings = catalog_findings(plan, source_catalog, target_catalog)
            yield Systems(plan, source, target, source_catalog, target_catalog, tables, tuple(findings))

    def check(self, *, offline: bool = False, data: bool = True, listener: Listener | None = None) -> CheckReport:
        """Return everything that is wrong with the plan, in file order, and what a run would reject.

        `offline` looks at the files only; `data=False` looks at the databases' tables but reads no row.
        Effects: none outside a temporary folder of the project.
        Raises: UsageError, SystemUnavailable; never PlanError.
        """
        findings = list(check_files(self.folder, self._environment))
        if offline or any(finding.severity == "error" for finding in findings):
            return CheckReport(tuple(findings))
        with self.systems(self.plan()) as systems:
            findings += systems.findings
            if any(finding.severity == "error" for finding in findings):
                return CheckReport(tuple(in_file_order(findings)))
            refusals = systems.target.refusals(list(systems.tables.values()))
            findings += [Finding("refused", "error", sentence) for sentence in refusals]
            if data:
                findings += self._predict(systems, listener)
        return CheckReport(tuple(in_file_order(findings)))

    def _predict(self, systems: Systems, listener: Listener | None) -> list[Finding]:
        with self._work(systems) as context:
            prediction = Prediction(context)
            for event in prediction.events():
                if listener is not None:
                    listener(event)
            return prediction.findings()

    def run(self, *, listener: Listener | None = None, fresh: bool = False, limits: Limits | None = None) -> RunResult:
        """Migrate: extract, transform, stage, validate, publish; an unfinished run goes on where it stopped.

        Effects: the target shows all rows of the plan at once, or nothing new. The source is only read.
        Raises: PlanError, SystemUnavailable, SystemRefused, CheckFailed, Refused, LockHeld, Interrupted.
        """
        plan = self.plan()
        with self._local_lock(), self.systems(plan) as systems:
            _raise_errors(systems.findings)
            if refusals := systems.target.refusals(list(systems.tables.values())):
                listed = [Finding("refused", "error", sentence) for sentence in refusals]
                message = f"the target cannot take these tables exactly ({len(refusals)} reasons); nothing was written"
                raise SystemRefused(message, listed)
            binding = _binding(systems)
            folder, journal, resumed = open_run(self.runs, binding, plan_content(plan), fresh=fresh)
            try:
                return self._go(systems, RunFolder(folder), journal, binding, resumed, listener, limits or Limits())
            finally:
                journal.close()

    def _go(
        self,
        systems: Systems,
        folder: RunFolder,
        journal: Journal,
        binding: Binding,
        resumed: bool,
        listener: Listener | None,
        limits: Limits,
    ) -> RunResult:
        folder.make()
        identity = RunIdentity(folder.root.name, binding.plan_hash, __version__, holder())
        tell = _teller(journal, listener)
        if resumed:
            tell(Event("run_resumed", {"run": identity.run, "holder": identity.holder}))
        else:
            fields = {"run": identity.run, "holder": identity.holder, "binding": binding.to_dict()}
            tell(Event("run_started", fields))
        with ExitStack() as stack:
            target = systems.target.open_run(identity, list(systems.tables.values()))
            stack.callback(target.close)
            engine = DuckDBEngine(folder.work, _ENGINE_MEMORY_BYTES, _ENGINE_THREADS)
            stack.callback(engine.close)
            context = RunContext(
                plan=systems.plan,
                source_catalog=systems.source_catalog,
                tables=systems.tables,
                source=systems.source,
                target=target,
                engine=engine,
                folder=folder,
                journal=journal,
                limits=limits,
            )
            try:
                for event in run_stages(context):
                    tell(event)
            except CheckFailed as problem:
                published = journal.last("published") is not None
                tell(Event("run_failed", {"published": published, "checks": [f.code for f in problem.findings]}))
                raise
            except TranshumeError as problem:
                tell(Event("run_stopped", {"error": type(problem).__name__}))
                raise
        return self.result(folder.root.name)

    def result(self, run: str | None = None) -> RunResult:
        """Return what a run (default: the newest) has done so far, from its journal.

        Raises: UsageError if there is no such run; JournalDamaged.
        """
        folder = RunFolder(self._run_folder(run))
        entries = read_journal(folder.journal)
        events = [entry.event for entry in entries]
        mappings = dict.fromkeys(
            [event.fields["mapping"] for event in events if event.kind == "batch_staged"],
        )
        checks = [event.fields for event in events if event.kind in {"check_passed", "check_failed"}]
        published = next((event.fields for event in reversed(events) if event.kind == "published"), {})
        return RunResult(
            run=folder.root.name,
            state=_state(events),
            resumed=any(event.kind == "run_resumed" for event in events),
            tables=tuple(tally(events, mappings).values()),
            checks=tuple(dict(check) for check in checks),
            published=dict(published),
            rejects=folder.rejects,
            artifacts=folder.root / "artifacts",
            duration_s=_duration(entries),
        )

    def validate(self, run: str | None = None, *, listener: Listener | None = None) -> list[CheckResult]:
        """Check again what the target shows of a published run: types, keys, references, every value.

        Raises: UsageError if the run is not published; SystemUnavailable.
        """
        result = self.result(run)
        if not result.published:
            message = (
                f"run '{result.run}' is {result.state}, nothing of it is published; 'transhume run' goes on with it"
            )
            raise UsageError(message)
        with self._published(result.run) as (context, catalog):
            results = []
            for check in validate_published(context, catalog):
                results.append(check)
                if listener is not None:
                    listener(Event("check_passed" if check.passed else "check_failed", check.to_dict()))
            return results

    def read_target(self, mapping: str, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Yield columns (default: the key) of the rows that readers of a mapping's target table see now.

        Raises: UsageError if nothing is published; SystemUnavailable.
        """
        result = self.result()
        with self._published(result.run) as (context, _):
            table = context.tables[mapping]
            yield from context.target.read_present(table, columns or table.key)

    def lookup_default(self, mapping: str, column: str) -> str | None:
        """Return the text that a lookup's `else:` gives where the lookup has no entry, None where it gives none."""
        rule = self.plan().tables[mapping].columns[column]
        otherwise = getattr(rule, "otherwise", None)
        return str(otherwise.text) if otherwise is not None and otherwise.action == "literal" else None

    def preview(self, mapping: str, rows: int = 5) -> list[PreviewedRow]:
        """Return some rows of a mapping before and after its rules: good ones, then one for each kind of reject.

        Effects: none outside a temporary folder of the project; all source tables are read.
        Raises: PlanError, UsageError for an unknown mapping, SystemUnavailable.
        """
        plan = self.plan()
        if mapping not in plan.tables:
            message = f"there is no table mapping '{mapping}'; {hint(mapping, plan.tables, 'mappings')}"
            raise UsageError(message)
        with self.systems(plan) as systems:
            _raise_errors(systems.findings)
            with self._work(systems) as context:
                return preview(context, plan.tables[mapping], rows)

    def sql(self, mapping: str | None = None) -> list[Statement]:
        """Return the SELECTs of a run as its engine gets them, in order; `mapping` None: of all mappings.

        Raises: PlanError, UsageError for an unknown mapping, SystemUnavailable.
        """
        plan = self.plan()
        if mapping is not None and mapping not in plan.tables:
            message = f"there is no table mapping '{mapping}'; {hint(mapping, plan.tables, 'mappings')}"
            raise UsageError(message)
        with self.systems(plan) as systems:
            _raise_errors(systems.findings)
            found = statements(plan, systems.source_catalog, systems.tables)
            return [each for each in found if mapping in {None, each.mapping}]

    @contextmanager
    def _published(self, run: str) -> Iterator[tuple[RunContext, Catalog]]:
        """Open a published run once more: its lock, its stage, an engine in its folder; and the target's catalog."""
        folder = RunFolder(self._run_folder(run))
        plan = self.plan()
        with self._local_lock(), self.systems(plan) as systems, ExitStack() as stack:
            journal = Journal(folder.journal)
            stack.callback(journal.close)
            identity = RunIdentity(run, _binding(systems).plan_hash, __version__, holder())
            target = systems.target.open_run(identity, list(systems.tables.values()))
            stack.callback(target.close)
            engine = DuckDBEngine(folder.work, _ENGINE_MEMORY_BYTES, _ENGINE_THREADS)
            stack.callback(engine.close)
            context = RunContext(
                plan=plan,
                source_catalog=systems.source_catalog,
                tables=systems.tables,
                source=systems.source,
                target=target,
                engine=engine,
                folder=folder,
                journal=journal,
            )
            yield context, systems.target_catalog

    @contextmanager
    def _work(self, systems: Systems) -> Iterator[WorkContext]:
        """Give a temporary place to extract and transform without any target."""
        state = self.folder / _STATE
        state.mkdir(exist_ok=True, mode=0o700)
        with TemporaryDirectory(prefix="look-", dir=state) as temporary, ExitStack() as stack:
            folder = RunFolder(Path(temporary))
            folder.make()
            engine = DuckDBEngine(folder.work, _ENGINE_MEMORY_BYTES, _ENGINE_THREADS)
            stack.callback(engine.close)
            journal = Journal(folder.journal)
            stack.callback(journal.close)
            yield WorkContext(
                plan=systems.plan,
                source_catalog=systems.source_catalog,
                tables=systems.tables,
                source=systems.source,
                engine=engine,
                folder=folder,
                journal=journal,
            )

    def _run_folder(self, run: str | None) -> Path:
        folders = run_folders(self.runs)
        if run is None and folders:
            return folders[-1]
        for folder in folders:
            if folder.name == run:
                return folder
        known = ", ".join(folder.name for folder in folders[-5:]) or "none yet"
        message = f"there is no run '{run}' in '{self.runs}'; known runs: {known}"
        raise UsageError(message)

    @contextmanager
    def _local_lock(self) -> Iterator[None]:
        state = self.folder / _STATE
        state.mkdir(exist_ok=True, mode=0o700)
        lock, owner = FileLock(state / "lock"), state / "lock.holder"
        try:
            with lock.acquire(timeout=0):
                owner.write_text(holder())
                yield
        except Timeout:
            who = owner.read_text() if owner.exists() else "another process"
            message = (
                f"project '{self.folder}' is in use by {who}; wait for it, or follow it with 'transhume status --watch'"
            )
            raise LockHeld(message) from None


def _teller(journal: Journal, listener: Listener | None) -> Listener:
    def tell(event: Event) -> None:
        reach(f"before:{event.kind}")
        journal.append(event)
        reach(f"after:{event.kind}")
        if listener is not None:
            listener(event)

    return tell


def _binding(systems: Systems) -> Binding:
    mappings = systems.plan.tables.values()
    used = [name for mapping in mappings for name in (mapping.from_, *(join.from_ for join in mapping.join.values()))]
    return Binding(
        plan_hash=plan_hash(systems.plan),
        tool_version=__version__,
        source=systems.source.identity,
        target=systems.target.identity,
        source_schema=schema_fingerprint(systems.source_catalog, used),
        target_schema=target_fingerprint(systems.tables),
    )


def _raise_errors(findings: tuple[Finding, ...]) -> None:
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise PlanError(errors)


def _state(events: list[Event]) -> str:
    words = {"run_finished": "finished", "run_failed": "failed", "run_abandoned": "given up", "run_stopped": "stopped"}
    last = next((event.kind for event in reversed(events) if event.kind.startswith("run_")), "")
    return words.get(last, "unfinished")


def _duration(entries: list[Any]) -> float:
    if not entries:
        return 0.0
    first, last = (datetime.fromisoformat(entry.at) for entry in (entries[0], entries[-1]))
    return round((last - first).total_seconds(), 3)

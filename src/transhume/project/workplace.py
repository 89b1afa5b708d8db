"""A project's place on disk and its open systems: plan, lock, runs, engines. What is done with them is told elsewhere.

Every call of the front door opens what it needs here, in one `with`, and gives it to the stages.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock, Timeout

from transhume.batches import Event, TargetTable
from transhume.capacity import Capacity, capacity_of_machine
from transhume.checks.plan_against_catalogs import catalog_findings
from transhume.compiler import table_order
from transhume.dialects import DIALECTS
from transhume.engines.duckdb import DuckDBEngine, DuckDBProcess
from transhume.engines.engine import Engine
from transhume.errors import Finding, LockHeld, PlanError, Refused, UsageError
from transhume.facts import Catalog
from transhume.journal import Journal
from transhume.plan.credentials import SecretUrl
from transhume.plan.engine import DUCKDB_ENGINE
from transhume.plan.engine import Engine as EnginePlace
from transhume.plan.load import FILE_NAME, load, load_for_review, plan_urls
from transhume.plan.lock import plan_hash
from transhume.plan.mask_keys import mask_keys
from transhume.plan.model import Plan
from transhume.stages.binding import (
    Binding,
    holder,
    phase_of,
    run_folders,
    schema_fingerprint,
    target_fingerprint,
)
from transhume.stages.context import Limits, RunContext, RunFolder, WorkContext
from transhume.stages.files import private_file, room
from transhume.stages.lookup_systems import LookupSystems
from transhume.stages.replay import Replay
from transhume.stages.subset import Subset
from transhume.systems import open_source, open_target
from transhume.systems.system import ReadsInParallel, RunIdentity, Source, Target
from transhume.version import __version__
from transhume.words import hint

Listener = Callable[[Event], None]
_STATE = ".transhume"


@dataclass(frozen=True, slots=True)
class Systems:
    """A plan with its two systems open and looked at."""

    plan: Plan
    source: Source
    target: Target
    source_catalog: Catalog
    target_catalog: Catalog
    tables: Mapping[str, TargetTable]
    lookups: LookupSystems
    findings: tuple[Finding, ...] = field(default=())
    whole: "Systems | None" = None
    """Of a part of a plan: the systems as the whole plan has them, which a run is bound to."""

    def in_order(self) -> list[TargetTable]:
        """Return the target tables as a run fills them: what is referenced first."""
        return [self.tables[name] for group in table_order(self.plan) for name in group if name in self.tables]

    def require_sound(self, *, lookups: bool = True) -> None:
        """Raise PlanError if the catalogs say that the plan cannot work.

        `lookups`: those of the lookups' systems too, which are connected for it (SystemUnavailable).
        """
        findings = [*self.findings, *(self.lookups.findings() if lookups else ())]
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors:
            raise PlanError(errors)

    def binding(self) -> Binding:
        """Return what a run of this plan on these systems is bound to."""
        if self.whole is not None:
            return replace(self.whole.binding(), phase=self.plan.phase)
        mappings = self.plan.tables.values()
        used = [name for mapping in mappings for name in (mapping.from_, *mapping.feeding())]
        return Binding(
            plan_hash=plan_hash(self.plan),
            tool_version=__version__,
            source=self.source.identity,
            target=self.target.identity,
            source_schema=schema_fingerprint(self.source_catalog, used),
            target_schema=target_fingerprint(self.tables),
            lookups=self.lookups.identity,
        )


class Workplace:
    """One project folder and the environment that its secrets come from. Making one reads nothing."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        environment_name: str | None = None,
        capacity: Capacity | None = None,
    ) -> None:
        """Take the folder that holds the plan, the variables, the plan's environment to work in, what may be used."""
        self.folder, self.environment, self.environment_name = folder, environment, environment_name
        self.capacity = capacity or capacity_of_machine()

    @property
    def limits(self) -> Limits:
        """The bounds of a batch that the capacity leaves room for."""
        return Limits(self.capacity.batch_rows_max, self.capacity.batch_bytes_max)

    @property
    def runs(self) -> Path:
        """Where the runs of this project keep journal, extract and rejects; each environment has its own."""
        state = self.folder / _STATE
        return state / "runs" if self.environment_name is None else state / "environments" / self.environment_name

    @property
    def state(self) -> Path:
        """Where the project keeps what git ignores."""
        return self.folder / _STATE

    @property
    def out(self) -> Path:
        """Where papers for people go."""
        return self.folder / "out"

    @property
    def needs_backup(self) -> bool:
        """Whether runs ask for a backup as the plan says."""
        return True

    @property
    def needs_approval(self) -> bool:
        """Whether a run here is held against what was approved, where the plan protects the environment."""
        return True

    def urls(self) -> tuple[SecretUrl, SecretUrl]:
        """Return the URLs of source and target. The rest of the plan may still be open, or wrong.

        Raises: UsageError where the plan names none; PlanError for what is no YAML.
        """
        return plan_urls(self.folder / FILE_NAME, self.environment)

    @contextmanager
    def readable(self, side: str) -> Iterator[Source]:
        """Open a side of the plan to be read only: the source, or a target that can be read.

        Raises: UsageError, SystemUnavailable.
        """
        url = self.urls()[side == "target"]
        source = open_source(url.reveal(), self.folder)
        try:
            yield source
        finally:
            source.close()

    def plan(self) -> Plan:
        """Read the plan, in its environment. Raises: PlanError with all findings that need no database; UsageError."""
        # A copy: the plan travels to other processes, which the system's own mapping does not.
        return self._in_environment(load(self.folder / FILE_NAME, dict(self.environment)))

    def plan_to_review(self) -> tuple[Plan, list[Finding]]:
        """Read the plan as papers show it, and its open decisions; no run of a plan that has one.

        Raises: PlanError with all other findings that need no database; UsageError.
        """
        plan, findings = load_for_review(self.folder / FILE_NAME, dict(self.environment))
        return self._in_environment(plan), findings

    def _in_environment(self, plan: Plan) -> Plan:
        if self.environment_name is None:
            return plan
        if self.environment_name not in plan.environments:
            known = hint(self.environment_name, plan.environments, "its environments are") or "it has none"
            message = f"the plan has no environment '{self.environment_name}'; {known}"
            raise UsageError(message)
        return plan.in_environment(self.environment_name)

    def plan_with(self, mapping: str) -> Plan:
        """Read the plan, which must have this table mapping. Raises: PlanError, UsageError."""
        plan = self.plan()
        if mapping not in plan.tables:
            message = f"there is no table mapping '{mapping}'; {hint(mapping, plan.tables, 'mappings')}"
            raise UsageError(message)
        return plan

    @contextmanager
    def systems(self, plan: Plan | None = None) -> Iterator[Systems]:
        """Open source and target and look at their tables; nothing is written. Lookups' systems wait to be asked for.

        Of a part of a plan the whole is looked at; tables and plan are those of the part.
        Raises: SystemUnavailable, SystemRefused; findings about the plan are returned, not raised.
        """
        part = plan or self.plan()
        plan = part.whole
        with ExitStack() as stack:
            resolve = plan.origin.resolver.resolve
            source = open_source(resolve(plan.source, plan.position("source")).reveal(), self.folder)
            stack.callback(source.close)
            if isinstance(source, ReadsInParallel):
                source.jobs = self.capacity.jobs
            target = self.target(plan)
            stack.callback(target.close)
            source_catalog, target_catalog = source.catalog(), target.catalog()
            tables, findings = catalog_findings(plan, source_catalog, target_catalog)
            lookups = LookupSystems(plan, self.folder)
            stack.callback(lookups.close)
            found = Systems(plan, source, target, source_catalog, target_catalog, tables, lookups, tuple(findings))
            if part is plan:
                yield found
            else:
                tables = {name: table for name, table in tables.items() if name in part.tables}
                yield replace(found, plan=part, tables=tables, whole=found)

    def target(self, plan: Plan) -> Target:
        """Open the target of the plan; whoever calls closes it. Raises: UsageError, SystemUnavailable."""
        url = plan.origin.resolver.resolve(plan.target, plan.position("target"))
        return open_target(url.reveal(), self.folder)

    @contextmanager
    def scratch(self, systems: Systems) -> Iterator[WorkContext]:
        """Give a temporary place to extract and transform without any target."""
        state = self.state
        state.mkdir(exist_ok=True, mode=0o700)
        with TemporaryDirectory(prefix="look-", dir=state) as temporary, ExitStack() as stack:
            folder = RunFolder(Path(temporary))
            folder.make()
            engine = open_engine(folder, self.capacity, systems.plan)
            stack.callback(engine.close)
            journal = Journal(folder.journal)
            stack.callback(journal.close)
            yield WorkContext(
                plan=systems.plan,
                source_catalog=systems.source_catalog,
                tables=systems.tables,
                source=systems.source,
                lookup_systems=systems.lookups,
                engine=engine,
                folder=folder,
                journal=journal,
                limits=self.limits,
            )

    @contextmanager
    def waiting_engine(self, plan: Plan) -> Iterator[DuckDBProcess | None]:
        """Start the engine's process for `held_run` while systems are opened and looked at: both take a processor.

        None where the plan's engine is no process of ours. It is gone at the end, whoever used it.
        """
        if plan.engine.at != DUCKDB_ENGINE:
            yield None
            return
        with closing(DuckDBProcess(self.capacity.engine_memory_bytes, self.capacity.jobs)) as process:
            yield process

    @contextmanager
    def held_run(
        self,
        systems: Systems,
        journal: Journal,
        folder: RunFolder,
        identity: RunIdentity,
        limits: Limits | None = None,
        subset: Subset | None = None,
        replay: Replay | None = None,
        waiting: DuckDBProcess | None = None,
    ) -> Iterator[RunContext]:
        """Take the target's lock for a run and give it an engine in its folder; `waiting` is a process for it.

        Raises: LockHeld, Refused.
        """
        with ExitStack() as stack:
            target = systems.target.open_run(identity, list(systems.tables.values()))
            stack.callback(target.close)
            journal.require(systems.target.anchor(identity.run))
            engine = open_engine(folder, self.capacity, systems.plan, systems.plan.engine, waiting)
            stack.callback(engine.close)
            engine.start()
            yield RunContext(
                plan=systems.plan,
                source_catalog=systems.source_catalog,
                tables=systems.tables,
                source=systems.source,
                lookup_systems=systems.lookups,
                target=target,
                engine=engine,
                folder=folder,
                journal=journal,
                limits=limits or self.limits,
                subset=subset,
                replay=replay,
            )

    @contextmanager
    def published_run(self, run: str) -> Iterator[tuple[RunContext, Catalog]]:
        """Open a published run once more: its lock, its stage, its journal; and the target's catalog."""
        folder = self.run_folder(run)
        with self.lock(), self.systems(self.plan_of(folder)) as systems, ExitStack() as stack:
            journal = Journal(folder.journal)
            stack.callback(journal.close)
            identity = RunIdentity(run, plan_hash(systems.plan), __version__, holder())
            context = stack.enter_context(self.held_run(systems, journal, folder, identity))
            yield context, systems.target_catalog

    def plan_of(self, folder: RunFolder) -> Plan:
        """Read the plan, or the part of it that a run brought. Raises: as `plan`; Refused for a phase that is gone."""
        plan, phase = self.plan(), phase_of(folder)
        if not phase:
            return plan
        if phase not in plan.phases:
            message = f"run '{folder.root.name}' brought the phase '{phase}', which the plan has no more; put it back"
            raise Refused(message)
        return plan.in_phase(phase)

    def run_folder(self, run: str | None) -> RunFolder:
        """Return the folder of a run, None: of the newest. Raises: UsageError if there is no such run."""
        folders = run_folders(self.runs)
        if run is None and folders:
            return RunFolder(folders[-1])
        for folder in folders:
            if folder.name == run:
                return RunFolder(folder)
        if run is None:
            message = f"there is no run in '{self.runs}' yet: `transhume run` makes the first"
        else:
            known = ", ".join(folder.name for folder in folders[-5:]) or "none yet"
            message = f"there is no run '{run}' in '{self.runs}'; known runs: {known}"
        raise UsageError(message)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes of this machine out of the project while it works on its files.

        Raises: LockHeld at once, with who it is; Interrupted where a file of ours finds no room.
        """
        state = self.state
        state.mkdir(exist_ok=True, mode=0o700)
        lock, owner = FileLock(state / "lock", mode=0o600), state / "lock.holder"
        try:
            with lock.acquire(timeout=0), room():
                private_file(owner).write_text(holder())
                yield
        except Timeout:
            who = owner.read_text() if owner.exists() else "another process"
            message = (
                f"project '{self.folder}' is in use by {who}; wait for it, or follow it with 'transhume status --watch'"
            )
            raise LockHeld(message) from None


def open_engine(
    folder: RunFolder,
    capacity: Capacity,
    plan: Plan | None = None,
    place: EnginePlace | None = None,
    waiting: DuckDBProcess | None = None,
) -> Engine:
    """Prepare an engine in the work folder of a run that knows the keys of the plan's rules.

    What only looks at rows takes DuckDB, which starts at once and gives the same; a run takes the plan's engine.
    `waiting` is DuckDB's process where it was started before.
    Raises: PlanError for a key that is not set or too short.
    """
    keys = mask_keys(plan) if plan is not None else {}
    if place is not None and place.at != DUCKDB_ENGINE:
        return _open_spark(folder, place, keys)
    variables = _variables(keys, DuckDBEngine.dialect)
    return DuckDBEngine(folder.work, capacity.engine_memory_bytes, capacity.jobs, variables, waiting)


def _open_spark(folder: RunFolder, place: EnginePlace, keys: Mapping[str, bytes]) -> Engine:
    # Few runs have it, and none of the others waits for it.
    from transhume.dialects.spark import SESSION  # noqa: PLC0415
    from transhume.engines.spark import SparkEngine, dialect_of  # noqa: PLC0415

    store = None if place.files is None else (place.files, folder.root.name)
    return SparkEngine(folder.work, place.at, SESSION, _variables(keys, dialect_of(place.at)), store)


def _variables(keys: Mapping[str, bytes], dialect: str) -> dict[str, bytes]:
    variables: dict[str, bytes] = {}
    for name, key in keys.items():
        variables |= DIALECTS[dialect].secret_variables(name, key)
    return variables

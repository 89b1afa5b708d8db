"""A run from the front door: the journal, the run's identity, the stages' events told to whoever listens."""

from collections.abc import Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from transhume.batches import Event
from transhume.errors import (
    CheckFailed,
    Finding,
    Interrupted,
    Refused,
    SystemRefused,
    SystemUnavailable,
    TranshumeError,
    UsageError,
)
from transhume.faults import reach
from transhume.journal import ANCHORED, Journal
from transhume.plan.lock import plan_content
from transhume.plan.model import Plan
from transhume.project.approving import require_approval
from transhume.project.freezing import frozen
from transhume.project.gates import plan_of_phase, require_gate
from transhume.project.replaying import phase_of_rejects, replay_of
from transhume.project.results import RunResult, result_of
from transhume.project.standing_backup import replacing, require_backup
from transhume.project.workplace import Listener, Systems, Workplace
from transhume.stages.binding import Binding, has_extract, has_unfinished, holder, open_run, require_journals
from transhume.stages.context import Limits, RunContext, RunFolder
from transhume.stages.replay import Replay
from transhume.stages.run import run as run_stages
from transhume.stages.subset import Subset
from transhume.stages.target_tables import keep_tables
from transhume.systems.system import RunIdentity
from transhume.version import __version__


class FailedAfterPublishing(CheckFailed):
    """A check failed when readers saw the rows already; says how to take them back, or has it done by the caller."""

    def __init__(self, run: str, plan: Plan, problem: CheckFailed) -> None:
        self.run = run
        self.is_automatic = plan.rollback.on_failed_check == "automatic"
        self.cause = str(problem).split("\n", 1)[0]
        super().__init__(f"{problem}\nThe run is published. Take it back by: transhume rollback {run}")
        self.findings = problem.findings


def run(
    place: Workplace,
    listener: Listener | None,
    limits: Limits,
    *,
    fresh: bool,
    subset: Subset | None,
    repaired: Sequence[Path] = (),
    phase: str | None = None,
) -> RunResult:
    """Begin a run or go on with an unfinished one; see `Project.run`."""
    plan = plan_of_phase(place, place.plan(), phase_of_rejects(place, repaired, phase) if repaired else phase)
    with place.lock(), place.waiting_engine(plan) as waiting, place.systems(plan) as systems:
        systems.require_sound(lookups=fresh or not has_extract(place.runs))
        if place.needs_approval:
            require_approval(place, systems)
        if refusals := systems.target.refusals(systems.in_order()):
            listed = [Finding("refused", "error", sentence) for sentence in refusals]
            message = f"the target cannot take these tables exactly ({len(refusals)} reasons); nothing was written"
            raise SystemRefused(message, listed)
        replay = replay_of(place, systems, repaired) if repaired else None
        binding = _bound(systems, subset, replay)
        if not fresh:
            require_journals(place.runs, systems.target)
        # A run that goes on went through its gate and has a backup behind it or not: what it wrote since is in none.
        goes_on = not fresh and has_unfinished(place.runs)
        gate = [] if goes_on else require_gate(place, systems)
        backup = "" if goes_on else require_backup(place, systems, listener)
        root, journal, resumed = open_run(place.runs, binding, plan_content(plan), fresh=fresh)
        try:
            folder = RunFolder(root)
            folder.make()
            identity = RunIdentity(root.name, binding.plan_hash, __version__, holder())
            tell = teller(journal, listener)
            behind = str(journal.entries[0].event.fields.get("backup", "")) if resumed else backup
            held = replacing(place, systems, behind)
            if resumed:
                _require_standing(journal, identity.run, systems.target.standing())
                tell(Event("run_resumed", {"run": identity.run, "holder": identity.holder}))
            else:
                fields = {"run": identity.run, "holder": identity.holder, "binding": binding.to_dict()}
                kept = keep_tables(folder, plan, held.tables)
                standing = list(systems.target.standing())
                tell(Event("run_started", {**fields, "tables_sha256": kept, "backup": backup, "standing": standing}))
                if plan.phase:
                    told = [{"condition": each.name, "evidence": each.evidence} for each in gate]
                    tell(Event("gate_passed", {"phase": plan.phase, "conditions": told}))
            with (
                # A replay reads no row of the source.
                nullcontext() if binding.replay else frozen(place, plan, tell),
                place.held_run(held, journal, folder, identity, limits, subset, replay, waiting) as context,
            ):
                _go(context, tell)
        finally:
            journal.close()
    return result_of(folder)


def _go(context: RunContext, tell: Listener) -> None:
    """Go through the stages; how the run ends is journalled, and the target remembers how far the journal has come."""
    journal, target = context.journal, context.target
    try:
        # Closed at once where a listener ends the run: its threads are through before the target is let go.
        with closing(run_stages(context)) as stages:
            for event in stages:
                tell(event)
                if event.kind in ANCHORED:
                    target.remember(journal.anchor)
    except CheckFailed as problem:
        published = journal.last("published") is not None
        tell(Event("run_failed", {"published": published, "checks": [f.code for f in problem.findings]}))
        with suppress(TranshumeError):
            target.remember(journal.anchor)
        if published:
            raise FailedAfterPublishing(context.folder.root.name, context.plan, problem) from problem
        raise
    except TranshumeError as problem:
        tell(Event("run_stopped", {"error": type(problem).__name__}))
        if isinstance(problem, SystemUnavailable) and journal.last("extract_finished") is not None:
            # Rows may be staged: that is no "nothing was written".
            problem.exit_code = Interrupted.exit_code
        raise


def _require_standing(journal: Journal, run: str, standing: Sequence[str]) -> None:
    """Raise Refused where a run that stood when this one began was taken back since: its rows count as unchanged."""
    stood = journal.entries[0].event.fields.get("standing", ())
    gone = [each for each in stood if each not in standing]
    if gone and run not in standing:
        message = (
            f"run '{gone[0]}' was taken back since run '{run}' began, which counts rows of it as unchanged or skipped; "
            "nothing was published. Begin a new run with --fresh"
        )
        raise Refused(message)


def _bound(systems: Systems, subset: Subset | None, replay: Replay | None) -> Binding:
    """Return what the run is bound to. Raises: UsageError for a part that would replace everything."""
    binding = systems.binding()
    if subset is not None:
        if systems.plan.load == "replace":
            message = "'load: replace' brings all rows or none: a part would take the place of everything"
            raise UsageError(message)
        binding = replace(binding, subset=str(subset))
    return binding if replay is None else replace(binding, replay=str(replay))


def teller(journal: Journal, listener: Listener | None) -> Listener:
    """Return what journals an event and then hands it to the listener."""

    def tell(event: Event) -> None:
        reach(f"before:{event.kind}")
        journal.append(event)
        reach(f"after:{event.kind}")
        if listener is not None:
            listener(event)

    return tell

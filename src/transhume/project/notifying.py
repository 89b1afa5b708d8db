"""Notices about runs and rollbacks to where `notify:` says: counts and names of checks, no value, no address.

A notice that cannot be sent changes nothing of a run; that it was not sent is told.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from transhume.batches import Event
from transhume.errors import (
    CheckFailed,
    PlanError,
    RollbackStopped,
    RolledBack,
    TranshumeError,
    UsageError,
)
from transhume.plan.model import Notice, Plan
from transhume.project.results import RunResult
from transhume.project.running import FailedAfterPublishing
from transhume.project.workplace import Listener, Workplace

if TYPE_CHECKING:
    from transhume.project.undoing import RollbackResult


@contextmanager
def told_of_a_run(place: Workplace, listener: Listener | None) -> Iterator[list[RunResult]]:
    """Send what came of a run: its result is put into the list; an error that ends it goes on its way."""
    done: list[RunResult] = []
    try:
        yield done
    except (UsageError, PlanError):
        # Nothing had begun, and whoever wrote the plan or the command sits before it.
        raise
    except RolledBack:
        _send(place, listener, "rolled_back", "rolled back by itself", ["a check failed after publishing"])
        raise
    except (FailedAfterPublishing, RollbackStopped) as problem:
        lines = ["the rows of the run are visible, and a person must act: transhume rollback", *_checks(problem)]
        _send(place, listener, "incident", "failed after publishing", lines)
        raise
    except TranshumeError as problem:
        lines = [f"{type(problem).__name__}: exit {problem.exit_code}; nothing is half visible", *_checks(problem)]
        _send(place, listener, "failed", "failed", lines)
        raise
    for result in done:
        rows = {"loaded": 0, "unchanged": 0, "updated": 0, "rejected": 0}
        for table in result.tables:
            for name in rows:
                rows[name] += getattr(table, name)
        counts = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        _send(place, listener, "finished", "finished", [f"run {result.run}: {counts}"])


@contextmanager
def told_of_a_rollback(place: Workplace, listener: Listener | None) -> "Iterator[list[RollbackResult]]":
    """Send what came of a rollback: its result is put into the list; an error that ends it goes on its way."""
    done: list[RollbackResult] = []
    try:
        yield done
    except RollbackStopped:
        lines = ["the rollback did not come out, nothing was changed, and a person must act"]
        _send(place, listener, "incident", "rollback stopped", lines)
        raise
    for result in done:
        removed = sum(table.removed for table in result.report.tables)
        restored = sum(table.restored for table in result.report.tables)
        lines = [
            f"run {result.run} was taken back in {result.duration_s:.1f} s",
            f"{removed:,} rows removed, {restored:,} restored, {result.report.kept:,} stay",
            f"papers: {result.incident.name}, {result.post_mortem.name}",
        ]
        _send(place, listener, "rolled_back", "rolled back", lines)


def _checks(problem: TranshumeError) -> list[str]:
    findings = problem.findings if isinstance(problem, CheckFailed) else ()
    return [f"check '{name}'" for name in dict.fromkeys(finding.code for finding in findings)]


def _send(place: Workplace, listener: Listener | None, kind: str, what: str, lines: Sequence[str]) -> None:
    try:
        plan = place.plan()
    except TranshumeError:
        return
    for number, notice in enumerate(plan.notify):
        if kind in notice.on:
            why = _sent(plan, number, notice, f"transhume: '{plan.name}' {what}", "\n".join(lines))
            if listener is not None:
                fields = {"kind": kind, "to": number + 1, **({"why": why} if why else {})}
                listener(Event("notice_failed" if why else "notice_sent", fields))


def _sent(plan: Plan, number: int, notice: Notice, title: str, body: str) -> str:
    """Send one notice; return "" or why it was not sent, without the address."""
    try:
        import apprise  # noqa: PLC0415 - optional, and only who sends a notice waits for it
    except ImportError:
        return "sending notices needs the extra 'notify': pip install 'transhume[notify]'"
    # It logs what it does, with hosts in it.
    logger = logging.getLogger("apprise")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    try:
        address = plan.origin.resolver.resolve(notice.to, plan.position("notify", number)).reveal()
        sender = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False, secure_logging=True))
        if not sender.add(address):
            return "its address is none that apprise knows"
        return "" if sender.notify(title=title, body=body) else "the service did not take it"
    except PlanError as problem:
        return str(problem)
    except Exception as problem:  # noqa: BLE001 - whatever a service does, the run is what it is
        return type(problem).__name__

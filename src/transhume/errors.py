"""Every error that transhume raises on purpose; nothing here imports anything of transhume.

    TranshumeError                 exit 70 unless a subclass says otherwise
    ├── UsageError                 exit 2   the command or the call is wrong
    ├── PlanError                  exit 3   the plan has errors; carries every one as a Finding
    ├── SystemProblem              exit 4   a source or target cannot be used as it is
    │   ├── SystemUnavailable      exit 4   cannot connect, no rights, no disk: nothing was written; 5 in a run
    │   ├── SystemRefused          exit 4   a table, type or setting cannot be carried exactly
    │   └── DriverMissing          exit 4   an optional driver is not installed
    ├── CheckFailed                exit 1   a check failed, or rejects are over the limit
    ├── Interrupted                exit 5   stopped midway; the same command resumes
    │   └── EngineCrashed          exit 5   the engine's process died; its batch is not done
    ├── Refused                    exit 6   not approved, drifted, behind a shut gate, or another run holds the lock
    │   └── LockHeld               exit 6   names the holder
    ├── RolledBack                 exit 7   a check failed after publishing; the run was taken back by itself
    ├── RollbackStopped            exit 8   a rollback did not come out: a person must act
    ├── EngineFailed               exit 70  the engine refused a statement: a bug in what was compiled
    └── JournalDamaged             exit 6   the local journal does not match its hash chain

A message says where, what with its values, what it means for the data, and the next step; it never
holds a credential. Shape: lower case, names in single quotes.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int
    quoted_line: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing: where, what, what it means, and the cure.

    `severity` is "error" (a run is impossible), "warning" (rows will be rejected or something was
    not checked) or "note". `count` is the number of rows concerned; `sample_keys` a few of their keys.
    `proposal` is what a person may accept: a lookup, a spelling that it does not know, the canonical name that it may
    mean ("" where none is near).
    """

    code: str
    severity: str
    message: str
    cure: str = ""
    position: Position | None = None
    table: str | None = None
    column: str | None = None
    count: int | None = None
    sample_keys: tuple[str, ...] = ()
    proposal: tuple[str, str, str] | None = None


class TranshumeError(Exception):
    """Base of all errors here; `exit_code` is what the command line returns."""

    exit_code: int = 70


class UsageError(TranshumeError):
    """The command or the call is wrong; nothing was done."""

    exit_code = 2


class PlanError(TranshumeError):
    """The plan has errors; `findings` holds all of them, in file order."""

    exit_code = 3

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(_one_line(finding) for finding in self.findings))


class SystemProblem(TranshumeError):
    """A source or target cannot be used as it is; nothing was written."""

    exit_code = 4


class SystemUnavailable(SystemProblem):
    """Cannot connect, no rights, no disk, or the connection was lost. Of a run that was under way it is exit 5."""


class SystemRefused(SystemProblem):
    """A table, a type or a setting cannot be carried exactly; `findings` names each one."""

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join([message, *(_one_line(finding) for finding in self.findings)]))


class DriverMissing(SystemProblem):
    """An optional driver is not installed; the message names the extra."""


class CheckFailed(TranshumeError):
    """A check failed or rejects are over the limit; nothing was published."""

    exit_code = 1

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join([message, *(_one_line(finding) for finding in self.findings)]))


class Interrupted(TranshumeError):
    """Stopped midway; nothing is half visible, and the same command resumes."""

    exit_code = 5


class EngineCrashed(Interrupted):
    """The engine's process died or ran out of memory; its batch counts as not done."""


class EngineFailed(TranshumeError):
    """The engine refused a statement or a value; the message is the engine's, without values of the data."""


class RolledBack(TranshumeError):
    """A check failed after publishing, and the run was taken back by itself, as the plan says."""

    exit_code = 7


class RollbackStopped(TranshumeError):
    """A rollback's counts or fingerprints do not come out; nothing was changed, and a person must act."""

    exit_code = 8


class Refused(TranshumeError):
    """Not approved, drifted, behind a shut gate, or bound to another plan, system or version; carries the reasons."""

    exit_code = 6

    def __init__(self, message: str, findings: Sequence[Finding] = ()) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join([message, *(_one_line(finding) for finding in self.findings)]))


class LockHeld(Refused):
    """Another run holds the target; the message says which one, where and since when."""


class JournalDamaged(Refused):
    """The local journal does not match its hash chain; the message names the first bad line."""


def _one_line(finding: Finding) -> str:
    place = f"{finding.position}: " if finding.position else ""
    cure = f" {finding.cure}" if finding.cure else ""
    return f"{place}{finding.message}{cure}"

"""The runbook of a plan: every step of the day with owner, command, expected output, measured time and gate."""

from collections.abc import Iterator

from transhume.report.paper import Cell, Code, Grid, Mark, Paper, Paragraph, Section
from transhume.report.planning.known import Known
from transhume.words import counted

_CODES = (
    ("0", "done, every check passed", "go on"),
    ("1", "a check failed or rejects are over the limit; nothing new is visible, or it is said", "no-go: read it"),
    ("3", "the plan has errors; nothing was written", "no-go: correct the plan"),
    ("4", "a system cannot be used; nothing was written", "mend the connection or the rights, same command"),
    ("5", "stopped midway", "run the same command again"),
    ("6", "not approved, drifted, or another run holds the lock", "no-go: look at the differences, approve again"),
    ("7", "rolled back by itself", "no-go: tell those concerned, find the cause"),
    ("8", "the rollback is incomplete", "a person must act: contingency"),
)
_HEAD = ("", "step", "owner", "command", "expected output", "measured", "go / no-go")
_NOT_MEASURED = Mark("not measured yet", "quiet")
_RETURN = "POINT OF NO RETURN"
_GO = "go: exit 0"


def runbook(known: Known) -> Section:
    """Return the steps in order, the way back, and what each exit code asks for."""
    rows = tuple((number, *row) for number, row in enumerate(_steps(known), start=1))
    back = tuple((letter, *row) for letter, row in zip("ABCDEF", _back(known), strict=False))
    return Section(
        "Runbook",
        (
            Paragraph(
                "Each step waits for the gate of the one before. Up to the publishing, stopping the run leaves the "
                "target as it is; from there to the finalizing, the way back below is open; afterwards only a backup."
            ),
            Grid("The day, in order", _HEAD, rows, frozenset({3}), sheet="runbook"),
            Grid("The way back", _HEAD, back, frozenset({3}), sheet="way back"),
            Code("\n".join(str(row[3]) for row in rows if row[3] != "-")),
            Grid("Exit codes", ("code", "means", "then"), _CODES),
        ),
    )


def runbook_paper(known: Known) -> Paper:
    """Return the runbook as a paper of its own."""
    approved = known.approved is not None and not known.changes
    return Paper(
        title=f"Runbook: {known.plan.name}",
        subtitle="Who does what, in which order, what must be seen before the next step",
        facts=(
            ("Plan", known.plan_hash[:16]),
            *((("Environment", known.environment),) if known.environment else ()),
            ("Source", known.source.identity),
            ("Target", known.target.identity),
            ("Made", f"{known.made_at} by transhume {known.version}"),
        ),
        verdict=Mark("The plan is approved as it is.", "good")
        if approved
        else Mark("The plan is not approved as it is: step 2 is open.", "doubt"),
        sections=(runbook(known),),
    )


def _steps(known: Known) -> Iterator[tuple[Cell, ...]]:
    yield from _before(known)
    yield from _freeze(known)
    yield from _on_the_day(known)


def _before(known: Known) -> Iterator[tuple[Cell, ...]]:
    owner, database = _owner(known, "migration owner"), _owner(known, "database administrator")
    yield ("Check plan and data", owner, _command(known, "check"), _expected_rejects(known), _NOT_MEASURED, _GO)
    yield (
        "Hold the plan against the approval",
        owner,
        _command(known, "plan --diff-approved"),
        "'plan and schemas are what was approved'",
        _NOT_MEASURED,
        f"{_GO}; else approve again",
    )
    yield (
        "Prove both copies",
        database,
        _command(known, "backup"),
        "each part 'verified'",
        _measured(known, "backup"),
        f"{_GO}{'; the run refuses without it' if _needs_backup(known) else ''}",
    )
    yield (
        "Rehearse, and drill the way back",
        database,
        _command(known, "rehearse"),
        "checks passed, the undo is proved",
        _measured(known, "drill"),
        f"{_GO}; the rollback took what is measured here",
    )


def _freeze(known: Known) -> Iterator[tuple[Cell, ...]]:
    source = _owner(known, "source data owner")
    if known.plan.freeze == "enforce":
        yield (
            "Look at the freeze",
            source,
            _command(known, "unfreeze --preview"),
            "the statements that the run will use",
            _NOT_MEASURED,
            "go: the application's owner agrees",
        )
    else:
        said = "a change during the run is reported" if known.plan.freeze == "detect" else "nobody looks for changes"
        yield ("Stop the source's application", source, "-", said, _NOT_MEASURED, "go: its owner says that it is off")


def _on_the_day(known: Known) -> Iterator[tuple[Cell, ...]]:
    owner, data = _owner(known, "migration owner"), _owner(known, "quality assurance")
    for name in known.plan.phases or [""]:
        yield (
            f"Run{f' wave {name}' if name else ''}: readers see the rows at its end",
            owner,
            _command(known, f"run --phase {name}" if name else "run"),
            f"'{_expected(known, name)}', every check passed",
            _measured(known, "run"),
            f"{_GO}; 5: same command; else the way back",
        )
    yield (
        "Validate what readers see",
        data,
        _command(known, "validate"),
        "0 failed; each sampled row as the oracle expects it",
        _NOT_MEASURED,
        f"{_GO}; else the way back",
    )
    yield (
        "Sign",
        data,
        _command(known, "report"),
        "the page, signed by those below",
        _NOT_MEASURED,
        "go: everybody has signed; else the way back",
    )
    yield (
        Mark(f"Finalize: {_RETURN}", "bad"),
        owner,
        _command(known, "finalize"),
        "what was dropped, by name",
        _NOT_MEASURED,
        "only after the signatures: no rollback is possible afterwards",
    )


def _back(known: Known) -> Iterator[tuple[Cell, ...]]:
    owner, database = _owner(known, "migration owner"), _owner(known, "database administrator")
    after = "before the finalizing only"
    yield ("Halt", owner, "Ctrl-C, once", "stops at a batch; nothing is half visible", _NOT_MEASURED, "always possible")
    yield (
        "Look",
        database,
        _command(known, "rollback --preview"),
        "rows that go, that stay, that others edited",
        _NOT_MEASURED,
        "go: whoever owns the rows that stay knows",
    )
    yield (
        "Take the run back",
        database,
        _command(known, "rollback"),
        "'equal' or 'equal apart from others' for each table, exit 0",
        _measured(known, "undo"),
        after,
    )
    yield (
        "Only if that is refused: bring the backup back",
        database,
        _command(known, "rollback --restore-snapshot"),
        "each table has the snapshot's fingerprint; others' work since is lost",
        _measured(known, "restore"),
        "go: its owners agree to lose it",
    )
    yield (
        "Tell those concerned",
        owner,
        "out/incident-RUN.md",
        "sent; 'notify:' sends a short one by itself",
        _NOT_MEASURED,
        "-",
    )
    yield ("Post-mortem", owner, "out/post-mortem-RUN.md", "cause and prevention filled in", _NOT_MEASURED, "-")


def _command(known: Known, rest: str) -> str:
    environment = f" -e {known.environment}" if known.environment else ""
    return f"transhume{environment} {rest}"


def _owner(known: Known, role: str) -> str:
    """Return who has a role in the plan; the role itself where nobody is named."""
    for key, who in known.plan.people.items():
        words = str(key).replace("_", " ").replace("-", " ").lower()
        if words in {role, role.rpartition(" ")[2]}:
            names = who if isinstance(who, list | tuple) else [who]
            return f"{', '.join(str(name) for name in names)} ({role})"
    return role


def _needs_backup(known: Known) -> bool:
    return known.plan.rollback.backup == "required" or known.plan.load == "replace"


def _expected(known: Known, phase: str) -> str:
    names = known.plan.phases[phase].tables if phase else list(known.plan.tables)
    if any(name not in known.tallies for name in names):
        return "the counts of the check"
    good = sum(known.good(name) for name in names)
    rejected = sum(known.tallies[name].rejected for name in names)
    return f"{counted(good, 'row')} loaded or unchanged, {rejected:,} rejected"


def _expected_rejects(known: Known) -> str:
    return f"no error; {_expected(known, '')}" if known.tallies else "no error"


def _measured(known: Known, what: str) -> Cell:
    seconds = known.measured.get(what)
    return _NOT_MEASURED if seconds is None else f"{seconds:,.1f} s"

"""Backup, rollback and contingency in the request's six steps. Nothing is done here."""

from transhume.report.paper import Bullets, Grid, Paragraph, Section
from transhume.report.planning.known import Known


def rollback(known: Known) -> Section:
    """Return backups, the six steps, the contingency."""
    is_lake = known.target.identity.startswith("iceberg")
    required = known.plan.rollback.backup == "required"
    automatic = known.plan.rollback.on_failed_check == "automatic"
    tables = ", ".join(dict.fromkeys(mapping.target_table for mapping in known.mappings()))
    snapshot = (
        "a tag on the snapshot of each table, immediately before the run ('transhume backup'). Do not expire snapshots "
        "before sign-off."
        if is_lake
        else "a dump of the tables that the plan writes, immediately before the run ('transhume backup')."
    )
    strategy = (
        "All rows are staged where no reader sees them; one transaction over all tables of the catalog swaps them in. "
        "Up to that moment stopping the run leaves the target as it is."
        if is_lake
        else "All rows are staged where no reader sees them; one transaction publishes them all. Up to that "
        "moment stopping the run leaves the target as it is; an error while publishing rolls back by itself."
    )
    failed = (
        "A check that fails after publishing takes the run back by itself (on_failed_check: automatic)."
        if automatic
        else "A check that fails after publishing leaves the decision to a person (on_failed_check: ask)."
    )
    return Section(
        "Backup and rollback",
        (),
        (
            Section(
                "Backup strategy",
                (
                    Bullets(
                        (
                            (
                                f"Source system: a full logical and physical backup of {known.plan.namespace} before "
                                "any activity ('transhume backup'), each copy restored once. The migration only "
                                "reads the source."
                            ),
                            f"Target system: {snapshot}",
                            (
                                f"The plan says that backups are {'required' if required else 'advised'} "
                                f"(rollback: backup: {known.plan.rollback.backup})."
                            ),
                            f"Strategy: {strategy} {failed}",
                        )
                    ),
                ),
            ),
            Section("Rollback procedure", (_steps(tables), _proof())),
            Section("Contingency", (_contingency(known),)),
        ),
    )


def _steps(tables: str) -> Grid:
    return Grid(
        "Steps",
        ("step", "what is done", "by"),
        (
            (
                "1 Halt the migration",
                "Stop the running job at once (Ctrl-C or kill); nothing is half visible, whatever the moment.",
                "transhume status",
            ),
            (
                "2 Isolate the run's data",
                (
                    "List exactly the rows that the run inserted or changed, by its ledger in the target; rows that "
                    "others wrote or edited since are told apart and stay."
                ),
                "transhume rollback RUN --preview",
            ),
            (
                "3 Restore the target's state",
                (
                    f"Take the run's rows out of {tables} in one transaction and give changed rows their former "
                    "content back. Only if that is refused: restore these tables from the backup."
                ),
                "transhume rollback RUN; else with --restore-snapshot",
            ),
            (
                "4 Verify the rollback",
                (
                    "Counts and fingerprints of each table are compared with the state before the run; the result is "
                    "'equal', 'equal apart from others' or 'removal only'."
                ),
                "part of transhume rollback; exit code 0",
            ),
            (
                "5 Tell those concerned",
                "Send the notice: what happened, when, which rows by count, the state now, the next step.",
                "out/incident-RUN.md",
            ),
            (
                "6 Post-mortem and remedy",
                "Find the cause, mend the plan or the data, check and approve again, repeat the test run.",
                "out/post-mortem-RUN.md",
            ),
        ),
        frozenset({2}),
    )


def _proof() -> Paragraph:
    return Paragraph(
        "Drill the procedure before anyone needs it: 'transhume rollback --drill' runs into a scratch place, takes "
        "that back and compares. After sign-off 'transhume finalize' drops the undo data: the point of no return."
    )


def _contingency(known: Known) -> Bullets:
    return Bullets(
        (
            (
                "Manual correction: where the automatic rollback fails for a few rows, the list of these rows "
                "(kept.csv, by key and reason) goes to their owners, who correct or re-enter them; to be avoided."
            ),
            (
                f"Temporary data freeze: writes to {known.plan.namespace} stop while critical issues are looked into, "
                "so that source and target do not drift apart."
            ),
            (
                "Rejected rows: kept whole in the run's folder; they are corrected in the source or accepted by a "
                "decision in the plan, and a later run of the same plan loads them alone."
            ),
            "Restore of the backup: only if the rollback is refused; everything written to the target since is lost.",
        )
    )

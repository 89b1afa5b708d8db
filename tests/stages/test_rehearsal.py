"""A rehearsal: its part holds every way that a row can go and is closed, nothing of the target is touched."""

import psycopg
import pytest

from tests.stages import small_project
from transhume import Project
from transhume.stages.context import Limits

SMALL = Limits(segment_rows_max=small_project.SEGMENT_ROWS)
ORPHANS = """
SELECT (SELECT count(*) FROM {0}.plants c WHERE place_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM {0}.places p WHERE p.place_id = c.place_id)),
       (SELECT count(*) FROM {0}.plants c WHERE parent_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM {0}.plants p WHERE p.plant_id = c.parent_id)),
       (SELECT count(*) FROM {0}.plants), (SELECT count(DISTINCT kind) FROM {0}.plants)
"""
WAYS = """\
      state: {codes: gone, to: {'0': there, '1': gone, '2': never}}
      size:
        case: [{when: height_m > 18, then: {value: tall}}, {when: height_m > 900, then: {value: huge}}]
        otherwise: {value: low}
"""
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ai%'"


@pytest.fixture
def project(tmp_path, postgres_url) -> Project:
    """The small project with codes and a case, of which no row goes one way each; its target is PostgreSQL."""
    folder = tmp_path / "p"
    small_project.write(folder, f"{postgres_url}&schema=ai")
    plan = (folder / "transhume.yaml").read_text().replace("    drop: [gone]\n", WAYS)
    (folder / "transhume.yaml").write_text(plan)
    return Project(folder)


def test_a_rehearsal_covers_every_way_and_is_closed(project, postgres_url):
    """Few rows by chance, yet each reason, code, branch and name; what is not covered is said; references resolve."""
    seen = []

    def look(event):
        if event.kind == "published":
            with psycopg.connect(postgres_url) as reader:
                schema = reader.execute(
                    "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'ai_rehearsal_%'"
                ).fetchone()
                seen.append(reader.execute(ORPHANS.format(schema[0])).fetchone())

    found = project.rehearse(rows=8, listener=look, limits=SMALL)
    assert found.passed, (found.failed, found.drill.problems)
    plants = found.coverage[1]
    assert plants.mapping == "plants"
    # By the formulas of the project: weeds are unknown, every 13th row is filtered, heights go up to 130 / 7.
    assert {
        "unmapped:kind",
        "rejected",
        "filtered",
        "loaded",
        "NULL in parent_id",
        "name Tree of kind",
        "code 0 of state",
        "code 1 of state",
        "branch 1 of size",
        "otherwise of size",
        "form 1 of picture_uri",
    } <= set(plants.covered) | {way.replace(" (folded)", "") for way in plants.covered}
    assert plants.missing == ("code 2 of state", "branch 2 of size")
    assert plants.rows < small_project.PLANTS
    # What readers of the scratch schemas saw, at two sizes: no orphan, and both canonical names.
    assert [(orphans, others, kinds) for orphans, others, _, kinds in seen] == [(0, 0, 2), (0, 0, 2)]
    assert seen[0][2] < seen[1][2]
    assert small_project.postgres_content(postgres_url, "ai") == {}
    with psycopg.connect(postgres_url) as reader:
        assert reader.execute(SCHEMAS).fetchone() is None
    # The estimate knows of it: rates from two runs, machine time for all rows, a drill that passed.
    estimate = project.estimate()
    assert {rate.stage: rate.points for rate in estimate.rates}["load"] == 2
    assert estimate.machine is not None
    assert [risk.is_closed for risk in estimate.risks if risk.name == "Rollback failure"] == [True]
    # A changed plan was not rehearsed.
    plan = project.folder / "transhume.yaml"
    plan.write_text(plan.read_text().replace("then: {value: huge}", "then: {value: giant}"))
    assert project.estimate().rates == ()

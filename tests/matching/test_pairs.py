"""Real pairs of schemas whose right mapping others have published: how often the right column stands first.

The word lists were not made for them; `matching/vocabulary.py` says where each comes from. What is required here is
above what rapidfuzz on the names, sentence embeddings and COMA reached in the same measurement.
"""

import csv
from pathlib import Path

import pytest

from transhume.facts import Catalog
from transhume.matching.proposals import match, ranked
from transhume.project.drafting import draft
from transhume.systems import open_source

PAIRS = next(
    (place for parent in Path(__file__).parents if (place := parent / "shared" / "cases" / "pairs").is_dir()),
    Path("absent"),
)
MRR = {
    "chinook_pascal_snake": 0.98,
    "seed_models": 0.95,
    "trac_redmine": 0.45,
    "gdc_clark": 0.52,
    "synthea_omop": 0.30,
    "zh_web_5": 1.00,
}
pytestmark = pytest.mark.skipif(not PAIRS.is_dir(), reason="real data beside the project is absent: pairs of schemas")

Mapping = tuple[str, str, str, str]


def truth(name: str) -> set[Mapping]:
    """The published mapping."""
    with (PAIRS / name / "ground_truth.tsv").open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {tuple(r[k] for k in ("source_table", "source_column", "target_table", "target_column")) for r in rows}


def mean_reciprocal_rank(tsv: str, right: set[Mapping]) -> float:
    """The mean over source columns of 1 / the place of the first right target; ties count as their middle."""
    scored: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for row in csv.DictReader(tsv.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        pair = (row["source_table"], row["source_column"], row["target_table"], row["target_column"])
        scored.setdefault(pair[:2], []).append((float(row["score"]), pair in right))
    ranks = []
    for column in {each[:2] for each in right}:
        found = scored.get(column, [])
        best = max((score for score, is_right in found if is_right), default=0.0)
        above = sum(score > best for score, _ in found)
        tied, tied_right = (sum(s == best and (r or not only) for s, r in found) for only in (False, True))
        ranks.append(1 / (above + 1 + (tied - tied_right) / (tied_right + 1)) if best > 0 else 0.0)
    return sum(ranks) / len(ranks)


@pytest.fixture(scope="module", params=MRR)
def drafted(request):
    """The draft of a pair, names and values looked at."""
    name = request.param
    urls = [f"sqlite:////{PAIRS / name / side}.sqlite" for side in ("source", "target")]
    made = draft(*urls, PAIRS)
    return name, made


def test_the_right_column_stands_in_front(drafted):
    """The mean reciprocal rank is at least what was asked, for every pair."""
    name, made = drafted
    assert mean_reciprocal_rank(made.tsv(), truth(name)) >= MRR[name]


def test_the_brief_is_mapped_whole():
    """Of the brief's own mapping table all 12 columns are right after assignment."""
    urls = [f"sqlite:////{PAIRS / 'seed_models' / side}.sqlite" for side in ("source", "target")]
    (pairing,) = draft(*urls, PAIRS).matching.pairings
    chosen = {(c.source.table, c.source.name, c.target.table, c.target.name) for c in pairing.fields.values() if c}
    assert truth("seed_models") <= chosen


def test_names_alone_reach_it_too():
    """Without reading a row the same marks are reached: values add, they are not needed."""
    for name, wanted in MRR.items():
        catalogs: list[Catalog] = []
        for side in ("source", "target"):
            source = open_source(f"sqlite:////{PAIRS / name / side}.sqlite", PAIRS)
            catalogs.append(source.catalog())
            source.close()
        rows = ranked(match(*catalogs))
        lines = [f"{c.source.table}\t{c.source.name}\t{c.target.table}\t{c.target.name}\t{v}" for c, v in rows]
        tsv = "\n".join(["source_table\tsource_column\ttarget_table\ttarget_column\tscore", *lines])
        assert mean_reciprocal_rank(tsv, truth(name)) >= wanted, name

"""The oracle alone, over the demo's database: buckets and reasons are those of the generator's answer key."""

from collections import Counter
from pathlib import Path

import pytest

from tests.oracle.walk import Walk, walk
from transhume.demo import AnswerKey, generate, write_project


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[AnswerKey, Walk]:
    """The answer key and what the oracle says."""
    folder: Path = tmp_path_factory.mktemp("oracle")
    write_project(folder)
    key = generate(folder / "legacy.db", 300, seed=5)
    environment = {"LEGACY_URL": f"sqlite:///{folder / 'legacy.db'}", "PLATFORM_URL": f"iceberg:{folder / 'lake'}"}
    return key, walk(folder, environment, folder / "legacy.db")


def test_fates_are_those_of_the_answer_key(walked: tuple[AnswerKey, Walk]) -> None:
    """Table by table, as many rows are loaded, rejected and filtered as the generator planted."""
    key, found = walked
    for name, answer in key.tables.items():
        fates = Counter(expected.fate for expected in found.expected[name])
        assert (fates["loaded"], fates["rejected"], fates["filtered"]) == (
            answer.loaded,
            answer.rejected,
            answer.filtered,
        ), name


def test_reasons_are_those_of_the_answer_key(walked: tuple[AnswerKey, Walk]) -> None:
    """Table by table and reason by reason."""
    key, found = walked
    for name, answer in key.tables.items():
        reasons = Counter(reason for expected in found.expected[name] for reason in expected.reasons)
        assert dict(reasons) == dict(answer.reasons), name


def test_every_planted_row_is_rejected_for_what_was_planted(walked: tuple[AnswerKey, Walk]) -> None:
    """Row by row: the reasons that the generator names are among those of the row."""
    key, found = walked
    mappings = {answer.source: name for name, answer in key.tables.items()}
    for planted in key.planted:
        expected = found.expected[mappings[planted.table]][planted.row - 1]
        assert set(planted.reasons) <= set(expected.reasons), planted


def test_values_and_warnings_are_those_of_the_answer_key(walked: tuple[AnswerKey, Walk]) -> None:
    """As many loaded rows hold each counted value, and get each warning, as the generator says."""
    key, found = walked
    for name, answer in key.tables.items():
        loaded = [expected for expected in found.expected[name] if expected.fate == "loaded"]
        for column, counts in answer.values.items():
            held = Counter(str(expected.values[column]) for expected in loaded if expected.values[column] is not None)
            assert {value: held[value] for value in counts} == dict(counts), (name, column)
        warned = Counter(warning.partition(":")[2] for expected in loaded for warning in expected.warnings)
        assert {check: warned[check] for check in answer.warnings} == dict(answer.warnings), name

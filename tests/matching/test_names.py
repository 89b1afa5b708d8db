"""Words of names: what is singular, what is short for what, what runs together, and which names point to a table."""

import pytest

from transhume.matching.names import Lexicon, alike, refers, words_of
from transhume.matching.shapes import shape
from transhume.matching.vocabulary import ABBREVIATIONS, JOINED, SYNONYMS


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("CustomerAddresses", ("customer", "address")),
        ("categories", ("category",)),
        ("status", ("status",)),
        ("qty_on_hand", ("quantity", "on", "hand")),
        ("orderdate", ("order", "date")),
        ("filename", ("file", "name")),
        ("INVNBR", ("invnbr",)),
        ("кредит_сумма", ("кредит", "сумма")),
        ("出荷日", ("出", "荷", "日")),
    ],
)
def test_words_are_singular_and_written_out(name, words):
    """Plural endings go, short forms are written out, two known words that run together come apart."""
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("one", "other", "low", "high"),
    [
        ("amount", "amount", 1.0, 1.0),
        ("quantity", "count", 0.7, 0.8),
        ("pathological", "pathologic", 0.8, 0.9),
        ("custom", "customer", 0.8, 0.9),
        ("price", "person", 0.0, 0.0),
        ("12", "123", 0.0, 0.0),
    ],
)
def test_words_are_alike_for_a_reason(one, other, low, high):
    """The same, of one group, spelt nearly so, one short for the other - or not at all."""
    assert low <= alike(one, other) <= high
    assert alike(one, other) == alike(other, one)


def test_neighbours_are_found_without_comparing_everything():
    """The index of first letters and groups finds what comparing every pair of words would find."""
    words = sorted({*ABBREVIATIONS.values(), *SYNONYMS, *JOINED})[::5]
    lexicon = Lexicon.of([(word,) for word in words])
    found = lexicon.neighbours(set(words), set(words))
    assert {w: sorted(n) for w, n in found.items()} == {
        w: sorted((o, alike(w, o)) for o in words if alike(w, o)) for w in words
    }


@pytest.mark.parametrize(
    ("column", "table", "key", "points"),
    [
        ("dataset_id", "datasets", "dataset_id", True),
        ("DatasetID", "Dataset", "id", True),
        ("parent_run_id", "training_runs", "run_id", True),
        ("patient", "patients", "id", True),
        ("id", "datasets", "id", False),
        ("row_count", "datasets", "dataset_id", False),
    ],
)
def test_a_name_points_to_a_table(column, table, key, points):
    """By the table's name in the singular, or by the key's own."""
    assert refers(column, table, key) is points


@pytest.mark.parametrize(
    ("value", "pattern"),
    [
        ("/legacy/storage/models/v1/model_7.pkl", "/a/a/a/v9/a_9.pkl"),
        ("12.03.2024", "99.99.9999"),
        ("2024-01-05 10:30:00", "9999-99-99 99:99:99"),
        ("12345", "9"),
        ("A-12", "A-9"),
        ("Straße 7", "a 9"),
        ("", ""),
    ],
)
def test_patterns(value, pattern):
    """Letters, digits, and everything else as it stands; the first is the brief's own example of a path."""
    assert shape(value) == pattern

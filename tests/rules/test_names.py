"""Spellings: what resolves to a canonical name, and what is refused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from transhume.rules.names import _canonical, _letters, conflicts, fold, resolve

_NAMES = {"Random Forest": ("RF", "Random Forrest"), "XGBoost": ("XGB",), "C#": (), "C": ()}


def test_exact_spellings_come_before_folded_ones() -> None:
    """A value that is a spelling as it stands is that name's, even where it folds to another's."""
    names = {"One": ("a",), "Two": ("A",)}
    assert resolve(["a", "A"], names) == {"a": "One", "A": "Two"}


def test_unknown_values_are_left_out() -> None:
    """What is no known spelling has no entry."""
    assert resolve(["rf", "R F", "", "-", "random_forest"], _NAMES) == {
        "rf": "Random Forest",
        "random_forest": "Random Forest",
    }


def test_a_spelling_of_two_names_is_a_conflict() -> None:
    """Two canonical names that fold alike, or share a spelling, are found with both names."""
    assert conflicts({"Random Forest": (), "random-forest": ()}) == [
        ("random-forest", "Random Forest", "random-forest")
    ]
    assert conflicts({"One": ("x",), "Two": ("X ",)}) == [("X ", "One", "Two")]
    assert conflicts({"-": (), "--": ()}) == []
    assert conflicts(_NAMES) == []


def test_spellings_may_repeat_their_own_name() -> None:
    """A spelling that folds like its own canonical name is no conflict."""
    assert conflicts({"Random Forest": ("random forest", "RANDOM FOREST")}) == []


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_both_ways_of_folding_agree(text: str) -> None:
    """The stage's folding and the Python twin's own give the same text."""
    assert fold(text) == _letters(text)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_folding_twice_changes_nothing(text: str) -> None:
    """A folded text is its own folded form."""
    assert fold(fold(text)) == fold(text)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=6))
def test_both_ways_of_resolving_agree(text: str) -> None:
    """The map of the stage and the Python twin place a value alike."""
    assert resolve([text], _NAMES).get(text) == _canonical(text, _NAMES)

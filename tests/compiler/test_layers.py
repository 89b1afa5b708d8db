"""Layers alone: each expression named once, in the lowest layer that can hold it, and nothing that is not used."""

import pytest
from sqlglot import exp

from transhume import operations as op
from transhume.compiler.layers import Layers
from transhume.compiler.scans import parquet


def _layers(*columns: str) -> Layers:
    return Layers(parquet(["file"]), columns)


def _trim(value: exp.Expression) -> exp.Expression:
    return op.TrimAscii(this=value)


def test_the_same_expression_gets_the_same_name() -> None:
    """Binding twice gives one name; names and columns are their own."""
    layers = _layers("a", "A b")
    first = layers.bind(_trim(layers.column("a")))
    assert layers.bind(_trim(layers.column("a"))) == first
    assert layers.bind(first) == first
    assert layers.bind(layers.column("A b")) == layers.column("A b")
    assert layers.bind(_trim(layers.column("A b"))) != first


def test_columns_that_differ_in_case_are_two() -> None:
    """Names are compared exactly when expressions are recognised."""
    layers = Layers(parquet(["file"]), ["x"])
    assert layers.bind(exp.Literal.string("A")) != layers.bind(exp.Literal.string("a"))


def test_generated_names_avoid_the_columns() -> None:
    """A column may be called like a generated name."""
    layers = _layers(*(f"v{number}" for number in range(1, 40)))
    names = {layers.bind(_trim(layers.column(f"v{number}"))).name for number in range(1, 40)}
    assert len(names) == 39
    assert not names & {f"v{number}" for number in range(1, 40)}


def test_what_nothing_uses_is_left_out() -> None:
    """Values and joins that no output needs are not in the SELECT."""
    layers = _layers("a", "b")
    used = layers.bind(_trim(layers.column("a")))
    layers.bind(_trim(layers.column("b")))
    layers.join(parquet(["lookup"]), {"key": layers.column("b")})("value")
    tree = layers.select({"out": used})
    assert len(list(tree.find_all(op.TrimAscii))) == 1
    assert len(list(tree.find_all(op.ParquetFiles))) == 1


def test_a_join_on_a_value_stands_above_it() -> None:
    """A join whose key is computed comes one layer later, and equal joins are made once."""
    layers = _layers("a")
    key = layers.bind(_trim(layers.column("a")))
    first = layers.join(parquet(["lookup"]), {"key": key})
    second = layers.join(parquet(["lookup"]), {"key": key.copy()})
    assert first("value") == second("value")
    assert first("value") != first("key")
    tree = layers.select({"out": first("value"), "key": first("key")})
    assert len(list(tree.find_all(exp.Join))) == 1
    assert len(list(tree.find_all(exp.Select))) == 3


def test_captures_are_named_outside_of_a_case() -> None:
    """Captures of a pattern in the branches of a CASE become values of their own."""
    layers = _layers("a")
    capture = op.RegexCapture(
        this=layers.column("a"), pattern=exp.Literal.string("([^/]+)/x"), group=exp.Literal.number(1)
    )
    branch = exp.Case(ifs=[exp.If(this=exp.true(), true=capture)])
    tree = layers.select({"out": layers.bind(branch)})
    (found,) = tree.find_all(op.RegexCapture)
    assert found.find_ancestor(exp.Case) is None


def test_an_unknown_column_is_a_bug() -> None:
    """A column that the scan does not have cannot be referenced."""
    with pytest.raises(AssertionError):
        _layers("a").column("b")


def test_work_on_a_small_relation_is_done_in_it() -> None:
    """An operation on a small relation's column, also in a branch of a CASE, is computed in the relation."""
    layers = _layers("a")
    output = layers.join(parquet(["lookup"]), {"key": layers.column("a")}, is_small=True)
    fallback = exp.Case(ifs=[exp.If(this=exp.true(), true=output("value"))], default=exp.Literal.string("x"))
    parsed = layers.bind(op.ParseUuid(this=layers.bind(fallback)))
    again = layers.bind(op.ParseUuid(this=output("value")))
    tree = layers.select({"out": parsed, "plain": again})
    in_relation, of_literal = sorted(tree.find_all(op.ParseUuid), key=lambda node: isinstance(node.this, exp.Literal))
    assert isinstance(in_relation.this, exp.Column)
    assert in_relation.find_ancestor(exp.Join) is not None
    assert of_literal.this == exp.Literal.string("x")


def test_work_on_work_in_a_small_relation_brings_both() -> None:
    """Where only the outer one of two operations on a small relation's column is used, the inner one is there, too."""
    layers = _layers("a")
    output = layers.join(parquet(["lookup"]), {"key": layers.column("a")}, is_small=True)
    inner = layers.bind(_trim(output("value")))
    outer = layers.bind(op.ParseUuid(this=inner))
    tree = layers.select({"out": outer})
    assert len(list(tree.find_all(op.TrimAscii))) == 1
    assert len(list(tree.find_all(op.ParseUuid))) == 1
    made = {alias.alias for alias in tree.find_all(exp.Alias)}
    used = {column.name for column in tree.find_all(exp.Column)}
    assert used - made <= {"a", "key", "value"}


def test_only_the_keys_of_the_batch_are_held_of_a_large_relation() -> None:
    """A large relation is cut to the keys that occur in the scan; keys computed higher up do not cut it."""
    layers = _layers("a", "b")
    key = layers.bind(_trim(layers.bind(_trim(layers.column("b")))))
    output = layers.join(parquet(["parents"]), {"k0": layers.column("a"), "k1": key}, is_large=True)
    tree = layers.select({"out": output("uuid")})
    (condition,) = tree.find_all(exp.In)
    assert condition.this == exp.column("k0", quoted=True)
    assert len(list(tree.find_all(op.ParquetFiles))) == 3

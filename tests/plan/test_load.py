"""Reading a plan: what stays as written, what is refused, and that nothing else comes out."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transhume.errors import PlanError, UsageError
from transhume.plan.load import load, read
from transhume.plan.model import Plan

HEAD = "transhume: 1\nname: n\nnamespace: ns\nsource: sqlite:///a.db\ntarget: iceberg:./lake\n"
TABLE = "tables:\n  t:\n    from: t\n    key: id\n    columns:\n      a: {uuid: id}\n"
EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*/transhume.yaml"))


def _load(folder: Path, text: str | bytes) -> Plan:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (folder / "transhume.yaml").write_bytes(raw)
    return load(folder, {})


def _codes(folder: Path, text: str | bytes) -> list[str]:
    with pytest.raises(PlanError) as caught:
        _load(folder, text)
    return [finding.code for finding in caught.value.findings]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.parent.name)
def test_the_examples_load(path):
    """Every plan that the project ships is read, from its file and from its folder, and is the same plan."""
    assert load(path, {}) == load(path.parent, {})


def test_scalars_stay_text(tmp_path):
    """No, 01, 1.10, on, 1e3, 12:30:45 and a date mean what stands there (A4)."""
    words = ["no", "01", "1.10", "on", "1e3", "12:30:45", "2024-01-01", "~", "0x1A"]
    codes = ", ".join(f"{word}: {word}" for word in words)
    plan = _load(tmp_path, f"{HEAD}{TABLE}      b: {{codes: c, to: {{{codes}}}}}\n")
    assert plan.tables["t"].columns["b"].to == {word: word for word in words}


def test_quotes_tell_a_literal_from_a_column(tmp_path):
    """A bare word copies the column, a quoted one is the text itself."""
    plan = _load(tmp_path, f"{HEAD}{TABLE}      b: other\n      c: 'other'\n      d: null\n      e: 'null'\n")
    rules = plan.tables["t"].columns
    assert list(rules["b"].columns()) == ["other"]
    assert not list(rules["c"].columns())
    assert (rules["c"].value.text, rules["d"].value.text, rules["e"].value.text) == ("other", None, "null")


@pytest.mark.parametrize("change", [lambda raw: b"\xef\xbb\xbf" + raw, lambda raw: raw.replace(b"\n", b"\r\n")])
def test_byte_order_mark_and_crlf(tmp_path, change):
    """Files of Windows editors are the same plan, and places stay right (A5)."""
    raw = (HEAD + TABLE).encode()
    plain, other = _load(tmp_path, raw), _load(tmp_path, change(raw))
    assert plain.model_dump() == other.model_dump()
    assert str(other.position("tables", "t", "columns", "a")).endswith(":11:7")


def test_positions(tmp_path):
    """A plan knows where each of its keys stands, and answers with the nearest one around what has no place."""
    plan = _load(tmp_path, HEAD + TABLE)
    place = plan.position("tables", "t", "columns", "a")
    assert (place.line, place.column, place.quoted_line) == (11, 7, "      a: {uuid: id}")
    assert plan.position("tables", "t", "where").line == 7
    assert plan.position("nowhere").line == 1


def test_an_alias_bomb_is_refused_at_once(tmp_path):
    """Aliases are refused before anything grows (A1)."""
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n"
    bomb += "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12))
    started = time.process_time()
    codes = _codes(tmp_path, bomb)
    assert "alias" in codes
    assert "anchor" in codes
    assert time.process_time() - started < 1


@pytest.mark.parametrize("tag", ["!!python/object:os.system", "!custom", "!!binary", "!<tag:x.org,2000:y>"])
def test_tags_are_refused_by_name(tmp_path, tag):
    """No tag is followed; the message names it (A2)."""
    with pytest.raises(PlanError) as caught:
        _load(tmp_path, f"transhume: 1\nname: {tag} x\n")
    finding = next(each for each in caught.value.findings if each.code == "tag")
    assert tag.strip("!<>").split(":")[-1] in finding.message
    assert (finding.position.line, finding.position.column) == (2, 7)


def test_a_duplicate_key_names_both_lines(tmp_path):
    """The second of two equal keys does not silently win (A3)."""
    with pytest.raises(PlanError) as caught:
        _load(tmp_path, HEAD + "name: again\n" + TABLE)
    assert "in line 2 and in line 6" in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"[" * 1000, "too_deep"),
        (b"a: " + b"[" * 1000 + b"]" * 1000, "too_deep"),
        (b"\n".join(b" " * i + b"a:" for i in range(1000)), "too_deep"),
        (b"- " * 500 + b"x", "too_deep"),
        (b"a: x\n" * 250_000, "too_large"),
        (b"".join(b"k%d: x\n" % i for i in range(70_000)), "too_many"),
        (b"a: \0", "nul"),
        ((HEAD + TABLE).encode("utf-16"), "not_utf8"),
        ((HEAD + TABLE).encode("utf-16-le"), "nul"),
        (b"a: \xed\xa0\x80", "not_utf8"),
        (b"a: \x1b[31m", "character"),
        (b"", "yaml"),
        (b"just text", "yaml"),
        (b"null", "yaml"),
    ],
    ids=range(14),
)
def test_hostile_files_are_refused_quickly(tmp_path, raw, code):
    """Depth, size, NUL, other encodings: one clear error within seconds, no RecursionError (A5)."""
    started = time.process_time()
    assert code in _codes(tmp_path, raw)
    assert time.process_time() - started < 8


def test_no_file_no_plan(tmp_path):
    """A missing plan is wrong usage, said with the next step."""
    with pytest.raises(UsageError, match=r"no such file.*transhume init"):
        load(tmp_path, {})


def test_a_plan_is_a_regular_file(tmp_path):
    """A FIFO or a device does not block or fill the memory (A9)."""
    os.mkfifo(tmp_path / "transhume.yaml")
    with pytest.raises(PlanError, match="not a regular file"):
        load(tmp_path, {})
    with pytest.raises(PlanError, match="not a regular file"):
        load(Path("/dev/zero"), {})


def test_keys_of_the_model_that_are_not_of_the_language(tmp_path):
    """Names inside the program (`from_`, `version`) are not keys of a plan (A6)."""
    text = HEAD.replace("transhume: 1", "version: 1") + TABLE.replace("from: t", "from_: t")
    with pytest.raises(PlanError) as caught:
        _load(tmp_path, text)
    said = str(caught.value)
    assert "takes no 'version'" in said
    assert "takes no 'from_': did" not in said
    assert "has no 'from'" in said


def test_everything_wrong_is_said_at_once(tmp_path):
    """A mistake in one part does not hide what is wrong in the others."""
    text = HEAD + TABLE + "      b: {codez: x}\n      c: {lookup: x, in: nowhere}\n    drop: [id]\nmore: 1\n"
    with pytest.raises(PlanError) as caught:
        _load(tmp_path, text)
    assert [finding.code for finding in caught.value.findings] == [
        "bad_value", "unknown_lookup", "drop_used", "unknown_key",
    ]  # fmt: skip


def test_what_follows_from_a_mistake_is_not_said(tmp_path):
    """A reference to a mapping that could not be read is not called unknown."""
    text = HEAD + TABLE.replace("key: id", "kee: id") + TABLE.replace("tables:\n", "").replace("  t:", "  u:", 1)
    with pytest.raises(PlanError) as caught:
        _load(tmp_path, text + "      b: {ref: x, table: t}\n")
    assert not [finding for finding in caught.value.findings if finding.code == "unknown_mapping"]


_PIECES = [
    "transhume: 1\n", "tables:\n", "  t:\n", "    from: t\n", "    key: [a]\n", "    columns:\n",
    "      a: {uuid: a}\n", "- ", ": ", "? ", "{", "}", "[", "]", "'", '"', "|", ">", "&a ", "*a ",
    "!t ", "#", "%", "@", "`", "\n", " ", "\t",
    "---", "...", "<<: ", "null", "\\", "\r", "\u2028", "\x85", "\ufeff", "${X}", "{codes: a, to: {", "join:",
]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.text(max_size=200), st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)))
@example(text="a: [\n")
@example(text="? |\n")
@example(text="'\\")
def test_any_text_is_a_plan_or_a_plan_error(tmp_path, text):
    """Whatever stands in the file, nothing but a Plan or a PlanError comes out, with a place and a cure."""
    _expect_plan_or_error(tmp_path, text)


_WORDS = st.sampled_from(
    ["t", "a", "id", "from", "key", "columns", "tables", "lookups", "types", "join", "checks", "drop", "where", "codes",
     "to", "uuid", "ref", "table", "utc", "path", "like", "any", "names", "in", "lookup", "file", "else", "max_rejects",
     "3%", "-1", "null", "", "a.b", "sql", "a = 1", "value", "coalesce", "concat", "with", "on", "first", "latest"]
)  # fmt: skip
_TREES = st.recursive(
    st.one_of(_WORDS, st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_WORDS, inner, max_size=5)),
    max_leaves=25,
)


@example(top={"performance": [{"t": "t"}]}, mapping={}, rule=[])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    top=st.dictionaries(st.sampled_from([*Plan.model_fields, "transhume", "x"]), _TREES, max_size=6),
    mapping=st.dictionaries(_WORDS, _TREES, max_size=6),
    rule=_TREES,
)
@example(top={"transhume": "\ud7fc"}, mapping={}, rule=[])
def test_any_structure_is_a_plan_or_a_plan_error(tmp_path, top, mapping, rule):
    """Any mapping of any words, in any place, gives a Plan or a PlanError."""
    good = {"transhume": "1", "name": "n", "namespace": "n", "source": "sqlite:///a", "target": "iceberg:./b"}
    table = {"from": "t", "key": "id", "columns": {"a": {"uuid": "id"}, "b": rule}, **mapping}
    _expect_plan_or_error(tmp_path, _yaml({**good, "tables": {"t": table}, **top}))


def _yaml(node: object) -> str:
    """Write a tree as flow-style YAML (which JSON nearly is), short words bare."""
    if isinstance(node, dict):
        return "{" + ", ".join(f"{_yaml(key)}: {_yaml(value)}" for key, value in node.items()) + "}"
    if isinstance(node, list):
        return "[" + ", ".join(map(_yaml, node)) + "]"
    text = str(node)
    if text and text.replace(" ", "").isidentifier():
        return text
    return "'" + text.replace("'", "''") + "'"


def _expect_plan_or_error(folder: Path, text: str) -> None:
    (folder / "transhume.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    started = time.process_time()
    try:
        plan, findings = read(folder, {})
    except PlanError as problem:
        plan, findings = None, list(problem.findings)
    assert (plan is None) is bool(findings)
    for finding in findings:
        assert finding.position is not None
        assert finding.cure
        assert finding.message.replace("\u00a0", "").replace("\u3000", "").isprintable()
    assert time.process_time() - started < 5

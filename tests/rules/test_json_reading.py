"""JSON texts as the Python twins read them, by the letter of RFC 8259. Expected by hand."""

import json

import pytest

from transhume.rules.json_reading import Json, quoted, read


def _said(value: Json | None) -> tuple[str, str, str] | None:
    return None if value is None else (value.kind, value.text, value.written)


@pytest.mark.parametrize(
    ("text", "kind", "own", "written"),
    [
        ("true", "boolean", "true", "true"),
        ("false", "boolean", "false", "false"),
        (" \t\n\rnull \t\n\r", "null", "null", "null"),
        ("0", "number", "0", "0"),
        ("-0.50E+07", "number", "-0.50E+07", "-0.50E+07"),
        ("10e-3", "number", "10e-3", "10e-3"),
        ('""', "string", "", '""'),
        (r'"\"\\\/\b\f\n\r\t"', "string", '"\\/\b\f\n\r\t', r'"\"\\/\b\f\n\r\t"'),
        (r'"a b\u00e9\u0000\u001F\u0020"', "string", "a bé\0\x1f ", r'"a bé\u0000\u001F "'),
        (r'"\ud83d\ude00"', "string", "\U0001f600", '"\U0001f600"'),
        ('"\ud7ff\ue000\x7f"', "string", "\ud7ff\ue000\x7f", '"\ud7ff\ue000\x7f"'),
        (" [ ] ", "array", "", "[]"),
        ("{ }", "object", "", "{}"),
        ('{"b": [1, {"a" : "x y"}], "b": -0}', "object", "", '{"b":[1,{"a":"x y"}],"b":-0}'),
    ],
)  # fmt: skip
def test_a_text_is_one_value(text: str, kind: str, own: str, written: str) -> None:
    """White space around it is none of it; numbers stay as they were written."""
    assert _said(read(text)) == (kind, own, written)


def test_members_and_items_keep_their_order() -> None:
    """Equal keys are all kept, and what is nested is written on its own, too."""
    value = read('{"b": [1, "x", []], "a": {}, "b": null}')
    assert value is not None
    assert [(key, _said(member)) for key, member in value.members] == [
        ("b", ("array", "", '[1,"x",[]]')),
        ("a", ("object", "", "{}")),
        ("b", ("null", "null", "null")),
    ]
    assert [_said(item) for item in value.members[0][1].items] == [
        ("number", "1", "1"), ("string", "x", '"x"'), ("array", "", "[]"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "nul", "True", "NaN", "'a'", "1X", "1 X", "\u00a01", "1\x0b", "1 2", "[1] 2"),
        *("01", "1.", ".5", "+1", "-", "1e", "1e+", "0x1", "1_0"),
        *('"', '"a', '"\n"', '"\x1f"', r'"\x"', r'"\u12"', r'"\ud800"', r'"\udfff"', r'"\udbff\u0041"', r'"\udc00"'),
        *("[", "]", "1]", "}", "{", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1}", "{]", "[}", ",", ":", "[:]", "[1:2]"),
        *('{"a"}', '{"a":}', '{"a":1,}', '{,"a":1}', '{"a":1 "b":2}', "{1:2}", '{"a",1}', '{"a"::1}', '{"a":1]'),
        *("{a:1}", "{null:1}", '{"a":{]}', "[[1]", "[1]]", '["a":1]', "{{}:1}", "{[]:1}", '{"a" 1}', '{"a":1:2}'),
    ],
)  # fmt: skip
def test_any_other_text_is_none(text: str) -> None:
    """Python's own module refuses them, too, but for what is not to the letter."""
    assert read(text) is None
    lax = {"NaN", r'"\ud800"', r'"\udfff"', r'"\udbff\u0041"', r'"\udc00"'}
    if text not in lax:
        with pytest.raises(ValueError, match=r"."):
            json.loads(text)


def test_depth_has_no_limit() -> None:
    """Beyond what recursion could take."""
    deep = "[" * 5000 + "]" * 5000
    value = read(f" {deep}")
    assert value is not None
    assert value.written == deep
    assert read(deep[:-1]) is None


def test_a_text_is_quoted_with_as_few_escapes_as_there_are() -> None:
    """Quotes, backslashes and control characters; a blank, DEL and what lies beyond stay."""
    assert quoted("") == '""'
    assert quoted(' a/"\\\b\t\n\f\r\0\x1f\x7f\u2028é') == '" a/\\"\\\\\\b\\t\\n\\f\\r\\u0000\\u001F\x7f\u2028é"'

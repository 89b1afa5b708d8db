"""The two ways by which a line of JSON is read: a whole line in one go, and member by member. They must agree."""

import random

import pytest

from transhume.systems.files import json_lines

_SOUND = [
    '"x"', '"1.10"', "1.10", "-0", "-0.0", "1e400", "0.1e-5", "9" * 5000, "true", "false", "null", '""', '" "',
    '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"é"', "[]", '[1, "a"]', '{"a": 1.10, "a": 2}',
]  # fmt: skip
_VALUES = [
    *_SOUND, "NaN", "-Infinity", "01", "+1", "1.", ".5", "tru", "'x'", '"a\tb"', '"open', '"\\x"', "[" * 3000, "",
    '"\\u12"',
]  # fmt: skip
_KEYS = ['"a"', '"b"', '"c d"', '"é"', '"\\u00e9"', '""', '" "', '"a\\nb"', '"\\ud800"', "a", "1", '"a\tb"']
_BLANKS = ["", " ", "\t", "\r", "\u00a0", "\x0c"]


def _lines(seed: int, count: int) -> list[str]:
    """Return lines of few members; half of them are of sound parts only, the others hold anything anywhere."""
    chance = random.Random(seed)
    lines = []
    for number in range(count):
        keys, values, blanks = (_KEYS, _VALUES, _BLANKS) if number % 2 else (_KEYS[:4], _SOUND, _BLANKS[:4])
        members = [
            "".join(chance.choice(each) for each in (blanks, keys, blanks, [":"], blanks, values, blanks))
            for _ in range(chance.randrange(4))
        ]
        line = chance.choice(blanks) + "{" + ",".join(members) + "}" + chance.choice(blanks)
        if number % 6 == 5:
            place = chance.randrange(len(line))
            line = line[:place] + chance.choice(['"', ",", "}", "{", ":", "[", "\\", "x", ""]) + line[place + 1 :]
        lines.append(line)
    return [*lines, "", "{}", "[]", "1", '"a"', "null", "\ufeff{}", '{"a":1}{"b":2}', '{"a":1,}', '{,"a":1}', '{"a" 1}']


def test_both_ways_read_the_same(monkeypatch):
    """Thousands of sound and broken lines give the same values, or are no row, by either way; both kinds are many."""
    lines = [line.encode() for line in _lines(7, 6000)]
    quick = [json_lines._row(line, set()) for line in lines]
    at_once = [json_lines._scalars(line.decode()) is not None for line in lines]
    monkeypatch.setattr(json_lines, "_scalars", lambda _: None)
    slow = [json_lines._row(line, set()) for line in lines]
    assert [found for found in zip(lines, quick, slow, strict=True) if found[1] != found[2]] == []
    rows = [once for once, row in zip(at_once, slow, strict=True) if row is not None]
    assert min(rows.count(True), rows.count(False), slow.count(None)) > 200


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": 1.10, "b": -0, "c": 1E5}', {"a": "1.10", "b": "-0", "c": "1E5"}),
        (b'{"a": true, "b": false, "c": null}', {"a": "true", "b": "false", "c": None}),
        (b'{"a": "1.10", "b": "true", "c": ""}', {"a": "1.10", "b": "true", "c": ""}),
        (b'{"a": 12345678901234567890123456789012345678901}', {"a": "12345678901234567890123456789012345678901"}),
        (b'{"a": 1, "a": 1}', None),
        (b'{"a": 1, "\\u0061": 2}', None),
    ],
)
def test_letters_stay_as_they_stand(line, expected):
    """Numbers keep their letters, true and false are theirs, a key that stands twice makes no row."""
    assert json_lines._row(line, set()) == expected

"""How single fields of a plan are written: limits, types with constraints, flags, lookups. No model stands here.

Each function takes a node of the tree (Text, list, dict) and returns what the model holds, or raises ValueError
`what is wrong; what to write instead`.
"""

import re
from collections.abc import Mapping
from typing import Any

from transhume.schema import LogicalType, parse_type
from transhume.words import did_you_mean, kind_of

_CONSTRAINTS = ("primary key", "not null", "unique", "references")
_FILE_LOOKUP_KEYS = ("file", "system", "table", "key", "value")


def names(node: Any) -> Any:
    """Return a list of names; one name alone counts as a list of one."""
    found = [node] if isinstance(node, str) else node
    if not isinstance(found, list | tuple) or not all(isinstance(name, str) and name for name in found):
        message = f"expected a list of names, found {kind_of(node)}; write [a, b]"
        raise ValueError(message)
    for place, name in enumerate(found):
        if name in found[:place]:
            message = f"'{name}' stands twice in this list; remove one"
            raise ValueError(message)
    return tuple(str(name) for name in found)


def notices(node: Any) -> Any:
    """Return a list of notices; an address alone stands for one that tells of everything."""
    found = list(node) if isinstance(node, list | tuple) else [node]
    for each in found:
        to = each.get("to") if isinstance(each, Mapping) else each
        if isinstance(to, str) and not re.fullmatch(r"\$\{[^{}]+\}", to):
            message = (
                "an address stands in the environment only, because it lets everybody write there; write '${NAME}' and "
                "put NAME=... into the file '.env'"
            )
            raise ValueError(message)
    return tuple({"to": str(each)} if isinstance(each, str) else each for each in found)


def flag(node: Any) -> bool:
    """Return true or false as bool; no other word (yes, on, 1) is one."""
    if isinstance(node, bool):
        return node
    if node in ("true", "false"):
        return bool(node == "true")
    message = f"{kind_of(node)} is neither true nor false; write true or false"
    raise ValueError(message)


def verification(node: Any) -> Any:
    """Return "stop" for `true`, "" for `false`, and "warn"."""
    if node in {"stop", ""} or node is None:
        return node
    words = {"true": "stop", "false": "", "warn": "warn"}
    word = str(node).lower() if isinstance(node, bool) else str(node)
    if isinstance(node, str | bool) and word in words:
        return words[word]
    message = f"{kind_of(node)} is neither true, false nor warn; write true: what is missing stops the run, or warn"
    raise ValueError(message)


def reject_limit(node: Any) -> dict[str, Any]:
    """Return the fields of a RejectLimit: from `5`, `3%`, or a mapping of reason kind to limit."""
    if isinstance(node, Mapping):
        if not node:
            message = "an empty limit; write a number, a percentage such as 3%, or {reason: limit}"
            raise ValueError(message)
        limits = {str(kind): reject_limit(limit) for kind, limit in node.items()}
        if any("by_reason" in limit for limit in limits.values()):
            message = "a limit by reason is a number or a percentage; write {unmapped: 10, orphan: 1%}"
            raise ValueError(message)
        return {"by_reason": limits}
    text = str(node) if isinstance(node, str | int) and not isinstance(node, bool) else ""
    if re.fullmatch(r"[0-9]{1,15}", text):
        return {"count": int(text)}
    if (found := re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", text)) and float(found[1]) <= 100:  # noqa: PLR2004
        return {"share": float(found[1]) / 100}
    message = f"{kind_of(node)} is no limit of rejects; write a number (20), a percentage (3%), or {{reason: limit}}"
    raise ValueError(message)


def column_spec(node: Any) -> dict[str, Any]:
    """Return the fields of a ColumnSpec from text such as `text(200) not null` or `uuid references data_sources`."""
    if not isinstance(node, str):
        message = f"expected a type, found {kind_of(node)}; write it as in 'text(200) not null'"
        raise ValueError(message)  # noqa: TRY004 - a plan's mistake is a ValueError, whatever it is
    text = " ".join(node.split())
    found = re.fullmatch(r"((?:list ?\(.*?\)|[a-z_0-9]+)(?: ?\([0-9, ]*\))?\)?)(.*)", text, re.IGNORECASE)
    if not found:
        message = f"'{text}' begins with no type; write it as in 'text(200) not null'"
        raise ValueError(message)
    spec: dict[str, Any] = {"type": _type(found[1])}
    rest = found[2].strip()
    while rest:
        rest = _constraint(rest, spec).strip()
    return spec


def _type(text: str) -> LogicalType:
    try:
        return parse_type(text)
    except ValueError:
        word = text.partition("(")[0].strip().lower()
        known = ["uuid", "int", "bigint", "decimal(p,s)", "double", "boolean", "text", "text(n)", "date"]
        known += ["timestamp", "timestamptz", "time", "bytes", "json", "list(type)"]
        meant = _OTHER_NAMES.get(word) or did_you_mean(word, [name.split("(")[0] for name in known])
        bounds = text.partition("(")[2].rstrip(") ")
        meant = meant.replace("(n)", f"({bounds})" if bounds else "(n)").replace("(p,s)", f"({bounds or 'p,s'})")
        hint = f"did you mean '{meant}'?" if meant else f"the types are {', '.join(known)}"
        message = f"'{text}' is not a type; {hint}"
        raise ValueError(message) from None


_OTHER_NAMES = {
    "integer": "int", "smallint": "int", "int4": "int", "int8": "bigint", "long": "bigint", "float": "double",
    "real": "double", "float8": "double", "varchar": "text(n)", "char": "text(n)", "string": "text",
    "nvarchar": "text(n)", "clob": "text", "datetime": "timestamp", "bool": "boolean", "numeric": "decimal(p,s)",
    "decimal": "decimal(p,s)", "number": "decimal(p,s)", "money": "decimal(19,4)", "blob": "bytes", "bytea": "bytes",
    "binary": "bytes", "jsonb": "json", "array": "list(type)", "list": "list(type)",
}  # fmt: skip


def _constraint(rest: str, spec: dict[str, Any]) -> str:
    for words, name in (("primary key", "primary_key"), ("not null", "not_null"), ("unique", "unique")):
        if re.match(rf"{words}\b", rest, re.IGNORECASE):
            spec[name] = True
            return rest[len(words) :]
    if found := re.match(r"references ([^\s()]+)(.*)", rest, re.IGNORECASE):
        if found[2].lstrip().startswith("("):
            message = f"'references {found[1]}' names columns; name the table mapping alone, its primary key is meant"
            raise ValueError(message)
        spec["references"] = found[1]
        return found[2]
    meant = did_you_mean(rest.lower(), _CONSTRAINTS)
    hint = f"did you mean '{meant}'?" if meant else f"after the type may stand {', '.join(_CONSTRAINTS)}"
    message = f"'{rest}' is no constraint; {hint}"
    raise ValueError(message)


def lookup_node(node: Any) -> tuple[str, dict[str, Any]]:
    """Tell the two kinds of lookups apart and return ("file" | "names", the fields of the model)."""
    if not isinstance(node, Mapping) or not node:
        message = f"expected a lookup, found {kind_of(node)}; write {{file: lookups/x.csv, key: a, value: b}}"
        raise ValueError(message)
    if any(isinstance(value, list | tuple) for value in node.values()):
        return "names", {"names": _names_of(node)}
    first = next(iter(node))
    if not any(did_you_mean(str(key), _FILE_LOOKUP_KEYS) for key in node):
        message = f"'{first}' has no list of other spellings; write {first}: [spelling, spelling], or {first}: []"
        raise ValueError(message)
    if ("file" in node) == ("system" in node):
        message = "a lookup is read from a file or from a system; write either 'file' or 'system' with 'table'"
        if not any(str(key) not in _FILE_LOOKUP_KEYS for key in node):
            raise ValueError(message)
    return "file", dict(node)


def _names_of(node: Mapping[Any, Any]) -> dict[str, tuple[str, ...]]:
    result: dict[str, tuple[str, ...]] = {}
    for canonical, spellings in node.items():
        if not isinstance(spellings, list | tuple) or not all(isinstance(each, str) for each in spellings):
            message = f"the other spellings of '{canonical}' are a list of texts; write {canonical}: [a, b]"
            raise ValueError(message)
        result[str(canonical)] = tuple(str(each) for each in spellings)
    return result


def with_name(node: Any) -> Any:
    """Put each table mapping's key into it as its name."""
    if not isinstance(node, Mapping):
        return node
    return {
        name: {**mapping, "name": str(name)} if isinstance(mapping, Mapping) else mapping
        for name, mapping in node.items()
    }

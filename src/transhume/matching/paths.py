"""Templates for the rule `path`, made of examples: what is the same in all stays, what differs becomes a capture."""

import re
from collections import defaultdict
from collections.abc import Sequence

_VERSION = re.compile(r"v[0-9]+(?:\.[0-9]+)*\Z", re.IGNORECASE)
_SHARE_MIN = 0.1
_FORMS_MAX = 4


def templates(examples: Sequence[str]) -> list[str]:
    """Return the forms that examples of paths have, the most frequent first; rare ones are left out."""
    groups: dict[tuple[str, int], list[list[str]]] = defaultdict(list)
    for example in examples:
        parts = example.strip().split("/")
        if len(parts) > 1 and not any("{" in part or "}" in part for part in parts):
            root = next((part for part in parts if part), "")
            groups[root, len(parts)].append(parts)
    enough = [group for group in groups.values() if len(group) >= _SHARE_MIN * len(examples)]
    return [_template(group) for group in sorted(enough, key=len, reverse=True)[:_FORMS_MAX]]


def _template(group: Sequence[Sequence[str]]) -> str:
    made: list[str] = []
    for place, segments in enumerate(zip(*group, strict=True)):
        is_last = place == len(group[0]) - 1
        if len(set(segments)) == 1 and not is_last:
            made.append(segments[0])
        elif is_last:
            made.append("{name}.{ext}" if all("." in segment for segment in segments) else "{name}")
        elif all(_VERSION.match(segment) for segment in segments):
            made.append("{version}" if "{version}" not in made else f"{{part{place}}}")
        else:
            made.append(f"{{part{place}}}")
    return "/".join(made)

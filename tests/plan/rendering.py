"""Findings as the golden files of messages hold them."""

from collections.abc import Iterable

from transhume.errors import Finding


def rendered(findings: Iterable[Finding]) -> str:
    """Return findings as text: place, what, the quoted line, cure."""
    blocks = []
    for finding in findings:
        place = finding.position
        lines = [f"{place}: {finding.severity} {finding.code}", f"  {finding.message}"]
        if place is not None and place.quoted_line:
            lines.append(f"  | {place.quoted_line.strip()}")
        lines.append(f"  -> {finding.cure}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"

"""What a validation of a run found, kept in the run's folder for its report and for the gates of later waves."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from transhume.stages.context import RunFolder
from transhume.stages.files import write_whole

_VALIDATION = "validation.json"
_WITH_VALUES = frozenset({"oracle", "published_rows"})
"""Checks whose words hold values of the rows that differ."""


def keep_validation(folder: RunFolder, found: Mapping[str, Any]) -> None:
    """Keep what a validation found in the run's folder, for its report: the newest one, without values of rows.

    `found` is what `ValidationResult.to_dict` gives.
    """
    checks = [
        {**check, "detail": _without_values(check)} if check["name"] in _WITH_VALUES else check
        for check in found["published"]
    ]
    at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    content = {"at": at, "checks": checks, "oracle": found["oracle"], "profile": found.get("profile", {})}
    write_whole(folder.root / _VALIDATION, json.dumps(content, ensure_ascii=False).encode())


def _without_values(check: Mapping[str, Any]) -> str:
    """Return the words of a check that compares values, as far as they hold none."""
    detail = str(check["detail"])
    if not check["count"]:
        return detail
    return "values differ; 'transhume validate' shows which, with the rows"


def validation_of(folder: RunFolder) -> Mapping[str, Any] | None:
    """Return what the newest validation of a run found, as `keep_validation` kept it; None where there was none."""
    try:
        found: Mapping[str, Any] = json.loads((folder.root / _VALIDATION).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found

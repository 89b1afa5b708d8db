"""Keys: what must be known of whole tables before a batch is transformed: relations, duplicates, parents' fates."""

from pathlib import Path

_FOLDER = Path("relations")

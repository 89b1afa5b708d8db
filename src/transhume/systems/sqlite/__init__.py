"""SQLite as a source: one file, values of any storage class in any column, never written."""

from transhume.systems.sqlite.source import SqliteSource, open_source

__all__ = ["SqliteSource", "open_source"]

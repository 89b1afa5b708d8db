"""Tests of the dialects; other tests use their DuckDB."""

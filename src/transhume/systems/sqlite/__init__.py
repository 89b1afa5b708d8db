"""SQLite as a source: one file, values of any storage class in any column, never written."""

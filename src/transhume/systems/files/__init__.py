"""Files as a source: a folder of CSV, TSV, JSON Lines and Parquet, read as tables. Never a target."""

"""Tests of the engine Spark: `make test-spark`."""

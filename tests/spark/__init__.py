"""Tests of the engines Spark and Sail: `make test-spark`."""

"""Tests of the rules: cases, properties, planted faults."""

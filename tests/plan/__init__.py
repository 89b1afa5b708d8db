"""Tests of the plan: reading, checking, types, identity."""

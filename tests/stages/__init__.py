"""Whole runs: killed, repeated, refused."""

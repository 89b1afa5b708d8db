"""Torture tables: nasty values through every pair of systems, each with an outcome written by hand."""

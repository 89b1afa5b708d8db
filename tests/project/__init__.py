"""Tests of the front door's rooms."""

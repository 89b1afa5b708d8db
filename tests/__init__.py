"""Tests mirror the package; real servers, files and sizes."""

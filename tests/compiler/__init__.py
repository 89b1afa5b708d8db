"""Tests of the compiler, by executing what it makes."""

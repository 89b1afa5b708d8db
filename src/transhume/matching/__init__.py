"""Matching: two catalogs and their profiles to proposals with scores and reasons. Pure; a person decides."""

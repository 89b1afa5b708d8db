"""Documents and pages for people, made of what a run left: its journal and its results."""

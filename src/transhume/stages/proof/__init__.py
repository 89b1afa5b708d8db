"""Proof: rows recomputed by the oracle from the extract, and held against what the run said and what readers see.

Nothing here compiles SQL. The engine is asked for two things that hang on no rule: which raw keys stand more than
once, and which rows of the target have the keys of a batch. Where it has tasks, they run the oracle, too (`tasks.py`).
"""

"""Mutation testing of the rules, the oracle, the checks and the compiler; README.md says how and why."""

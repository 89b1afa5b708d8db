"""What a new system must pass: a suite of tests to subclass, with a place to run it on."""

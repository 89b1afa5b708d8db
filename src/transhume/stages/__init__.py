"""The stages of a run: each is a generator of events that calls drivers and pure code straight down."""

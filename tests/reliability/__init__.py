"""Long forms: every place to die, cut networks, full disks, damaged journals, a state machine, a model, canaries."""

"""One training, of whatever learns: the step, its schedule, checkpoints, and the loop over epochs."""

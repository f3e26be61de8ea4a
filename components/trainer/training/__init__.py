"""What head and second stage learn by: the training step, the schedule, checkpoints, and the loop over epochs."""

"""The classification head: its training loop, penalty, checkpoints and learning curve."""

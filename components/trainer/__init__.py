"""The Trainer: a pooling head on a frozen pretrained backbone."""

"""The process of a command: progress, signals, temporary files, memory, and failures of the machine in words."""

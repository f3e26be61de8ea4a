"""The process that runs Graft: libraries of each TFX line, their settings, memory, standard output."""

"""`graft run`: from a configuration to a pushed model, on one machine or on Beam's runners."""

"""`graft execute`: a compiled pipeline on one machine, each task as a cluster would run it."""

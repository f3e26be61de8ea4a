"""DataGate: data that does not fit stops the run, with the reasons (TFX's own ExampleValidator stops nothing)."""

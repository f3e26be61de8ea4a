"""From a path to labelled images, whatever the layout, for ExampleGen, `check` and `predict`."""

"""`graft serve`: a small local server with TensorFlow Serving's REST interface, and a page to try a model on."""

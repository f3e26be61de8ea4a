"""Report: one page that tells whether to trust the model, made of what the other stages left."""

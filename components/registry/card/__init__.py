"""The model card of a version: facts from artifacts and passport, and the Markdown that people and the Hub read."""

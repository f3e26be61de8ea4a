"""The configuration: YAML files, paths in them, and the typed object that everything else takes."""

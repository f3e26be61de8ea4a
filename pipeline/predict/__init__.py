"""`graft predict`: answers for files, folders and manifests, from a pushed model."""

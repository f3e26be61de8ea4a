"""The class and the split of a file, told from names alone: one set of rules for folders and archives."""

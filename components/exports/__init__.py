"""Further forms of an export: a module each, and the table that every place finds them by."""

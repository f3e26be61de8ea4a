"""Exports: a signature in a session; further forms, a module each, and the table that every place finds them by."""

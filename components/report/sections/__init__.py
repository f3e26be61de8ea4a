"""Sections of the page: a module and a template each, with the uniform names of `components/report/section.py`."""

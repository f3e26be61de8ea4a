"""Tables that label images, a row an image, as people have them: CSV, JSON lines, COCO, Label Studio, ...

`finding.py` says which table it is, `sheets.py` and `documents.py` read it, `columns.py` says what its columns mean,
`rows.py` gives its rows, `paths.py` finds the file of each, `reading.py` makes a list of sources of them.
"""

"""From a file to an outcomes table, step by step; `data/tables.py` puts the steps together.

files.py        read_file: the columns of a file of any format
delimited.py    CSV and TSV
json_rows.py    JSON and JSON lines
unpickle.py     pickled tables and arrays, read without running them
pickle_names.py  the names that a pickled table may ask for
columns.py      RawTable: the names of columns, cells as texts and numbers
queries.py      which query each row belongs to
responses.py    answers, finish reasons and signals of either layout
layouts.py      wide and long columns -> Outcomes
arrow.py        an outcomes table -> wide and long Arrow columns
"""

"""Logs of requests -> a table of queries: read, folded, drawn from, redacted, summed up.

importing.py        import_log: all of it
alike.py            near-duplicates: which requests are one query, of the same words or nearly so
sampling.py         a sample over clusters and tasks, and what each of its queries stands for
redaction.py        personal data replaced by what it is
summary.py          what a log holds, in figures
"""

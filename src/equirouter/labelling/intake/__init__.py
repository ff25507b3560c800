"""Logs of requests -> a table of queries: read, folded, drawn from, redacted, summed up.

importing.py        import_log: all of it
folding.py          near-duplicates: which requests are one query
alike.py            long texts that differ in a few words
sampling.py         a sample over clusters and tasks, and what each of its queries stands for
redaction.py        personal data replaced by what it is
summary.py          what a log holds, in figures
writing_systems.py  Latin, Cyrillic, Han, ...: what languages are reported by
"""

"""Logs of requests: which formats there are, and their records as requests.

    base.py         LogReader and what it makes of a record: LoggedRequest, LeftOut, Wrong
    recognise.py    which format a file is in, told from its first records
    sources.py      files and folders, plain or compressed, as records
    fields.py       fields under several names, times, numbers, JSON within texts
    bodies.py       requests of several APIs as messages and parameters; provider_answers.py: theirs

A reader per format: batch.py (OpenAI batches), openai_stored.py (OpenAI stored completions),
litellm.py, langfuse.py, helicone.py, otel.py (OpenTelemetry), gateway.py (this one), sharegpt.py,
chat.py (anything with messages), prompts.py (a column of prompts; text files). They are registered
in LOG_FORMATS (registry.py), most particular first.
"""

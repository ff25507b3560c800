"""Logs of requests: which formats there are, and their records as requests.

    base.py         LogReader, its Fields of a record, and what it makes of them: LoggedRequest, ...
    recognise.py    which format a file is in, told from its first records
    sources.py      files and folders, plain or compressed, as records
    bodies.py       requests of several APIs as messages and parameters, and their answers

A reader per format: batch.py (OpenAI batches and stored completions), litellm.py, langfuse.py,
helicone.py, otel.py (OpenTelemetry), gateway.py (this one), chat.py (ShareGPT, and anything with
messages), prompts.py (a column of prompts; text files). They are registered in LOG_FORMATS
(registry.py), most particular first.
"""

"""The Responses API: its requests and answers, there and back.

tools.py     tools as functions, and calls of functions as those of the tools
request.py   a request as a chat completion, or what it has no place for
building.py  the answer as a response
"""

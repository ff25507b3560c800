"""Anthropic's Messages API: its requests and answers, there and back.

tools.py     tools as functions
request.py   a request in the form of a chat completion, and what that has no place for
building.py  the answer as a message
"""

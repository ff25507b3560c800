"""Decisions within other programs; nothing of those is imported.

litellm.py  a routing plug-in for LiteLLM's SDK and proxy
"""

"""Alembic's steps from one version of the tables to the next.

v0001_initial.py   all tables
"""

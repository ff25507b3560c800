"""Alembic's steps from one version of the tables to the next.

v0001_initial.py   all tables
v0002_charges.py   columns of the log: how a call was charged
v0003_cascades.py  a column of the log: how two models that were asked at once ended
v0004_canaries.py  versions that are tried beside the current one
v0005_learning.py  grades, a day's spending on learning, kinds of feedback
"""

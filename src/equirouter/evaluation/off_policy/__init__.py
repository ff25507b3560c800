"""Measuring policies on a log with one outcome per query and its propensity.

estimates.py   a policy's mean performance and cost, three ways, with intervals
comparing.py   two pipelines on the queries of such a log
"""

"""From what was asked to an outcomes table: answers of every model, and their scores.

intake/             logs of requests become a table of queries
pool_calls.py       one question to one model, by the gateway's own calls
batching.py         questions in batches of a provider
bias.py             how judges err: length and order
collecting.py       collect: every model answers every query
estimate.py         what that will cost
pool_models.py      the models of the pool, as graders ask them
grading.py          scores, one grader after the other, and signals of checks that ask
open_batches.py     batches that are with a provider
log_scoring.py      answers in the gateway's log, scored there
purse.py            money: no call starts unless its bound fits
scoring.py          score: grades make an outcomes table
starting.py         start: a pipeline without any label
collection_store.py the folder of a collection: queries, answers, grades, labels, money
table.py            an outcomes table out of answers and scores
work_left.py        the questions of a run of collect
review/             a page for people, and what their labels correct
graders/            what an answer is worth, a grader per file
"""

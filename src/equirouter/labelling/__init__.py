"""From what was asked to an outcomes table: answers of every model, and their scores.

intake/        logs of requests become a table of queries
asking.py      one question to one model, by the gateway's own calls
collecting.py  collect: every model answers every query
estimate.py    what that will cost
purse.py       money: no call starts unless its bound fits
store.py       the folder of a collection: queries, answers, grades, labels, money
"""

__all__: list[str] = []

"""Money: keys, limits, the ledger, the store and its log.

admission.py  admission of requests: keys, rates and budgets as answers of the gateway
log_export.py     the log as an outcomes table again
rating_shares.py  how many ratings of each key count
request_lines.py  its requests one by one, to be imported
day_limit.py  what a day may cost, of calls that the gateway makes to learn
feedback.py   users' feedback on answers
api_keys.py       keys made, listed and revoked; their spending
ledger.py     money reserved before a call and settled after it
slices.py     money of busy keys that a worker takes ahead
limits.py     budgets and rates decided on what the store knows: pure functions
user_signals.py   what users did with answers: asked again, switched, stopped
writer.py     settlements and the log written behind the requests
store/        the database of keys, money and log
"""

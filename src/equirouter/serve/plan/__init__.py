"""Plans: who may answer a request, best first.

cascades.py         which requests may be asked of more than one model
decision_thread.py  decisions beside the event loop, in batches that never wait; a new pipeline
explore.py          now and then another model first, so that the log can teach
feasible.py         who may answer at all, and what a call can cost at most
loading.py          a pipeline read, tried out and measured
planner.py          who may answer a request, best first
pointer.py          another version becomes current: it is taken
prompt_tokens.py    how many tokens a prompt will have, rather too many
served.py           a pipeline with what is known of its models; a canary beside it
shadow.py           which models answer once more, for the log alone
sessions.py         from a decision to candidates; which model a conversation stays with
spend_target.py     the lambda that a mean spend comes to, on what requests have cost
waits.py            how long models take for a whole answer; which pairs would be late
"""

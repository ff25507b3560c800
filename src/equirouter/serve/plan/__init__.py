"""Plans: who may answer a request, best first.

cascades.py         which requests may be asked of two models; how long answers take
decision_thread.py  decisions beside the event loop, in batches that never wait; a new pipeline
explore.py          another model first, or as well, so that the log can teach
feasible.py         who may answer at all, and what a call can cost at most
loading.py          a pipeline read, tried out and measured; taken when another is current
planner.py          who may answer a request, best first
prompt_tokens.py    how many tokens a prompt will have, rather too many
served.py           a pipeline with its models; a canary beside it; the lambda of a mean spend
sessions.py         from a decision to candidates; which model a conversation stays with
"""

"""Calls of providers: which upstream, attempts, streams, translation.

answer_check.py  whether what an upstream sent is an answer; its final answer
attempts.py      one candidate after the other until the first byte of an answer is there
batches.py       many calls in one file, cheaper, within a day
litellm_sdk.py   calls through LiteLLM's SDK, for providers with an API of their own
model_pool.py    the models of the pool: upstream, price, guard against calls in vain
parameters.py    the parameters of a request as a model takes them, or refused them
quirks.py        how providers differ from OpenAI's API, an entry each
relay.py         a stream from an upstream to a client; a whole answer as one
sse.py           server-sent events on their way through: usage, errors, the model's name
upstream.py      one call of a provider over HTTP
client/          HTTP/1.1 to providers
translation/     the Responses API for upstreams that have chat completions only
"""

"""Calls of providers: which upstream, attempts, streams, translation.

answer_check.py  whether what an upstream sent is an answer
attempts.py      one candidate after the other until the first byte of an answer is there
batches.py       many calls in one file, cheaper, within a day
final_answer.py  the final answer in what an upstream sent, and whether it is usable
litellm_sdk.py   calls through LiteLLM's SDK, for providers with an API of their own
model_pool.py    the models of the pool: upstream, price, guard against calls in vain
parameters.py    the parameters of a request as a model takes them
quirks.py        how providers differ from OpenAI's API, an entry each
refused.py       parameters that models refused of late
relay.py         a stream from an upstream to a client
sse.py           server-sent events on their way through: usage, errors, the model's name
upstream.py      one call of a provider over HTTP
whole_stream.py  a whole answer as a stream of events
client/          HTTP/1.1 to providers
translation/     the Responses API for upstreams that have chat completions only
"""

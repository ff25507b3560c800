"""HTTP: endpoints, bodies, access, and one request on its way.

access.py       who may send requests, from which pages, and who may look at the gateway itself
admin.py        state of the gateway, a new pipeline, keys
bill.py         the money of one request
body.py         bodies, read under limits and written; headers
cascade.py      two models at once, checked, then stop or ask one more
controls.py     what a request asks of the router: by model name, in its body, by headers
endpoints.py    the web application: what is behind each path
exchange.py     one request on its way: planned, paid for, answered, logged
gateway.py      the parts in one object, which every handler is given
openapi.py      what is behind each path, as an OpenAPI document
listing.py      what models there are
passing.py      endpoints that are passed on and not routed
reply_checks.py the checks of replies that the settings name
requests.py     requests of the other APIs; the tokens of a prompt counted
shadow_calls.py other models answer once the client has its answer
"""

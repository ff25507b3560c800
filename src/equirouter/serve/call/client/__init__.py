"""HTTP/1.1 to providers: a client for this gateway alone, with as little work per call as can be.

connection.py  one connection, and the answer that comes in over it
answer_head.py the head of an answer: status, headers, how its body is framed
parser.py      bytes of a connection as one answer
pool.py        kept connections, and the one timer that ends them
reaching.py    a new connection: addresses, proxies of the environment, TLS
"""

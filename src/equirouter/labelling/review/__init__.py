"""A local page on which people score answers, blind; their labels correct the scores of judges.

choosing.py   which queries are shown, and with which probability
page.py       the page's server: 127.0.0.1 only, with a token
correcting.py labels of several people, and against the scores of a grader
static/       the page
"""

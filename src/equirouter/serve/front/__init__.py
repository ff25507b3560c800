"""Connections of clients: plain requests to the API are read and written here, others by aiohttp.

asked.py            a request and its answer, whichever server it came by
plain_connection.py connections: plain requests, and when one goes to aiohttp's server
runner.py           what runs them, and aiohttp's server behind them
"""

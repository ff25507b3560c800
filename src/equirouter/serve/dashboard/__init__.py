"""The dashboard: one page that the gateway serves itself, and the data behind it.

handlers.py    aiohttp routes: the page, its files, /admin/summary, /admin/decisions, /admin/events
view.py        what is looked at, the summary of a period, and the colours of models
documents.py   the JSON documents, from what the store gives; why this model, in sentences
static/        the page: HTML, CSS and JavaScript modules as they are served, without a build step
"""

from equirouter.serve.dashboard.handlers import dashboard_routes
from equirouter.serve.dashboard.view import View

__all__ = ["View", "dashboard_routes"]

"""The service: a durable store, live user states, several models, an HTTP API and its client.

Read in this order: `store` (nothing acknowledged is lost), `scorer` (one model, one user, all items), `state` (what a
user did a moment ago), `slate` (which items, with what chance), `models` (which model answers whom), `app` (HTTP).
"""

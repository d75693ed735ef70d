"""The pages: a Flask blueprint that any panel can mount (see plugin.py)."""

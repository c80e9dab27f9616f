"""Adapters carry the functions into clients, servers and stores, one module each.

An adapter holds no rule of its own. Importing this package imports no framework.
"""

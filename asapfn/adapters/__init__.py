"""Adapters carry the functions into clients, servers and stores: one module each, to be imported by
name. An adapter holds no rule of its own. Importing this package imports no framework.
"""

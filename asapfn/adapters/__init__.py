"""What carries the shapes into frameworks: one flat module each, imported by those who use it.

An adapter decides nothing. Importing this package imports no framework.
"""

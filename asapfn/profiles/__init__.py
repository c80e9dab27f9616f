"""Profiles: named compositions of the core for the protocols of Atlassian's world."""

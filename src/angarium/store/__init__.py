"""Reads and writes the database. This is the only package that contains SQL.

Functions take a connection as their first argument and open no transaction, except slices of fan-out and
steps of background tasks. They return values of their own types, never rows.
"""

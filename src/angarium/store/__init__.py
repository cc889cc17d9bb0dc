"""The only place with SQL. Verbs in the order of a message's life: accept, load, settle, resend, recover.

Functions take a connection first and never open or commit a transaction of their own; rows never leave.
"""

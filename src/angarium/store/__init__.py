"""The only place with SQL. Verbs in the order of a message's life: accept, load, complete, resend, recover.

Functions take a connection first and open no transaction of their own, but for the steps of background
tasks; rows never leave.
"""

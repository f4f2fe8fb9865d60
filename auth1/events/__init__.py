"""Events: one row each in one table, and a JSON line on stdout.

types   the closed set
log     log and count the events that a statement returned
reader  follow the table: each event once, in one order
stream  final events for the streams of a worker, from one poll
"""

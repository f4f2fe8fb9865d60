"""Decisions of the fraud rules after they are made.

log         record decisions and their events, and their outcomes
attacks     count rejections; record when an attack begins and ends
listing     list decisions
simulation  stored decisions under another policy
feedback    what a tenant says about a decision
handlers    the handlers of simulation and feedback
statements  the parameters and rows of SQL
"""

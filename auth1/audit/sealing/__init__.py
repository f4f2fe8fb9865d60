"""Seals of events: made by a worker, verified by the command line.

canonical  the digest of an event
seals      one seal per tenant and round; the chain
heads      the head of each chain on stdout, and for a tenant
store      the statements of both
verify     events against seals, chains and MACs
compare    the events of one seal, and the kinds of findings
pages      seals and events as streams
heads_log  seals against the heads of a log
"""

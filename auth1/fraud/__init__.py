"""Risk of a request for a code.

policy      the fraud policy of a tenant
policy_store  the policies of tenants and the operator's default
routes      the routes that manage fraud rules
policy_handlers  their handlers for policies
lists       allow and block lists: the entry that decides
list_values, list_schemas, list_store, list_handlers, list_cache  entries: checked, stored, managed, kept in the process
constants   the figures of the rules
scopes      the states of scopes: decay, a message, its settlement
rules       loads and decisions: pure functions
profiles    the parameters of a policy for Redis
messages    a message that a request would send: its scopes and keys
exposures   acquire rate limits and scopes in one call
acquired    the outcome of that call
settlements right codes, messages not sent, wrong codes: settled in the background
local_copy  the exposures of one worker while Redis is unavailable
saved       the exposures that PostgreSQL keeps
simulation  stored decisions under another policy
feedback    what a tenant says about a decision; review_handlers has the routes of both
evidence    the facts about a request that are known in the process
assess      check a request: facts -> limits and exposures -> decision
assessment  decisions and reasons
proof       proof of work: make and verify
redeem      which proof a request needs, and whether it has one
captcha     tokens of captchas, checked at their providers
proof_schemas  what a caller sends as proof
decisions   record decisions and their events, and their outcomes
decision_list  list decisions
attacks     count rejections; record when an attack begins and ends
verification  what follows from a submitted code, in the background
policies    the policy that holds for a request
line_types  line types, and what a policy does with one
prefixes    line types by prefix, from a file
networks    hosting, VPN and Tor networks, from files
lookup      line types and signals from Twilio Lookup
line_type_finder  a prefix, Twilio Lookup or phonenumbers, with the results that were bought
sources     all sources of a worker
datasets    prefixes and networks in PostgreSQL, read by all workers
files       lines of the files that the command line loads
countries   the country of an address, from GEOIP_FILE
disposable  disposable email domains
signals     signals of addresses, emails and numbers, with the weights of the policy
"""

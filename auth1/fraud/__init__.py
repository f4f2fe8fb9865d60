"""Risk of a request for a code.

assess      check a request: facts -> limits and exposures -> decision
evidence    the facts about a request that are known in the process
signals     signals of addresses, emails and numbers, with the weights of the policy
sources     all sources of a worker
rules       loads and decisions: pure functions
scopes      the states of scopes: decay, a message, its settlement
constants   the figures of the rules
policy      the fraud policy of a tenant
policy_store     the policies of tenants and the operator's default
policy_handlers  their handlers
verification  what follows from a submitted code, in the background
unsent      messages that no provider accepted: their exposure is taken back
routes      the routes that manage fraud rules

exposures/   what was sent and not verified, by scope
decisions/   decisions: recorded, listed, simulated, corrected; attacks
lists/       allow and block lists
line_types/  line types of numbers
proofs/      proof of work and captchas
datasets/    networks, countries of addresses, disposable domains
"""

"""Facts in the past tense: one table, read by the audit log and by webhooks, and a JSON line each on stdout."""

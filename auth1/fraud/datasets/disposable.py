"""Disposable email domains, by the list of the package `disposable-email-domains`."""

from disposable_email_domains import blocklist


def is_disposable(email: str) -> bool:
    """Return whether the domain of a normalised email, or a domain above it, offers disposable addresses."""
    domain = email.rpartition("@")[2]
    while domain:
        if domain in blocklist:
            return True
        domain = domain.partition(".")[2]
    return False

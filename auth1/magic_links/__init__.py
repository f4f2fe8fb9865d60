"""Magic links: the page behind a link, its confirmation, and its redemption.

routes    of the page
handlers  show, confirm and redeem a link
pages     the pages that people see
devices   browser and system of a User-Agent header
"""

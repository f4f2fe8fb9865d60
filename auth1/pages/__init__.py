"""Look and headers of every HTML page.

theme    a tenant's language and colours, and the style sheet made of them
headers  the Content-Security-Policy and other headers of a page
"""

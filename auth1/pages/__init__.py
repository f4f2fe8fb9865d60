"""The common parts of all HTML pages: look, headers, forms and errors.

theme           a tenant's language and colours, and the style sheet made of them
headers         the Content-Security-Policy and other headers of a page
forms           protection against forms of other sites
fetch_metadata  where a request of a browser comes from
browser_cookie  the cookie that recognises a browser while it logs in
script          the script of pages with forms
errors          errors as pages
"""

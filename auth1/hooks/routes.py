"""The routes that manage hooks."""

from auth1.authn.management import managed
from auth1.errors import NotFound
from auth1.hooks import handlers
from auth1.hooks.schemas import HookIn

HOOK_ROUTES = (
    *managed("GET", "/hooks/{hook}", handlers.get_hook, errors=(NotFound,)),
    *managed("PUT", "/hooks/{hook}", handlers.put_hook, body=HookIn, errors=(NotFound,)),
    *managed("DELETE", "/hooks/{hook}", handlers.delete_hook, errors=(NotFound,)),
)

"""django-allauth's headless API for apps, with phone numbers; settings, adapter and URLs in one module.

    python -m allauth_service migrate        create the tables
    gunicorn allauth_service:application     serve

Codes are printed instead of sent. Sessions are kept in the database and cached in Redis (`cached_db`), as Django's
documentation advises.
"""

import os
import secrets
import sys

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        SECRET_KEY=os.environ["SECRET"],
        ALLOWED_HOSTS=["localhost", "127.0.0.1"],
        ROOT_URLCONF=__name__,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": os.environ["PGHOST"],
                "PORT": os.environ["PGPORT"],
                "USER": os.environ["PGUSER"],
                "PASSWORD": os.environ.get("PGPASSWORD", ""),
                "NAME": os.environ["PGDATABASE"],
                "OPTIONS": {"pool": {"min_size": 4, "max_size": 20}},
            }
        },
        CACHES={
            "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["REDIS_URL"]}
        },
        SESSION_ENGINE="django.contrib.sessions.backends.cached_db",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.headless",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        USE_TZ=True,
        HEADLESS_ONLY=True,
        HEADLESS_CLIENTS=("app",),
        HEADLESS_FRONTEND_URLS={"account_signup": "https://app.example.com/signup"},
        ACCOUNT_ADAPTER=f"{__name__}.adapter_class",
        ACCOUNT_LOGIN_METHODS={"phone"},
        ACCOUNT_SIGNUP_FIELDS=["phone*"],
        ACCOUNT_EMAIL_VERIFICATION="none",
        ACCOUNT_LOGIN_BY_CODE_ENABLED=True,
        ACCOUNT_PHONE_VERIFICATION_CODE_FORMAT={"numeric": True, "length": 6, "dashed": False},
        LOGGING={
            "version": 1,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "loggers": {"django": {"handlers": ["console"], "level": "ERROR"}},
        },
        # Limits by address are off: allauth locks an address during each count, and all requests come from one address.
        ACCOUNT_RATE_LIMITS={"signup": None, "login": None, "verify_phone": "1/30s/key"},
    )
    django.setup()

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path


class Adapter(DefaultAccountAdapter):
    """Keeps the phone number in the user name, which is unique and indexed, and its verification in `first_name`."""

    def populate_username(self, request, user):
        user.username = secrets.token_hex(16)  # until the phone is set: allauth's own choice is not unique in a race

    def set_phone(self, user, phone, verified):
        user.username = phone
        user.first_name = "verified" if verified else ""
        user.save(update_fields=["username", "first_name"])

    def get_phone(self, user):
        return (user.username, user.first_name == "verified") if user.username else None

    def set_phone_verified(self, user, phone):
        self.set_phone(user, phone, True)

    def get_user_by_phone(self, phone):
        return get_user_model().objects.filter(username=phone).first()

    def send_verification_code_sms(self, user, phone, code, **kwargs):
        print(f"message to {phone}: your code is: {code}.", flush=True)


adapter_class = Adapter
urlpatterns = [path("_allauth/", include("allauth.headless.urls")), path("accounts/", include("allauth.urls"))]
application = get_wsgi_application()

if __name__ == "__main__":
    call_command(*sys.argv[1:])

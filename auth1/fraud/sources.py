"""Sources outside of Auth1 that the fraud rules use: line types, networks, countries of addresses, captchas."""

from auth1.config.settings import Settings
from auth1.core.crypto import Keyring
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.fraud.datasets.countries import Countries
from auth1.fraud.datasets.networks import Networks
from auth1.fraud.datasets.store import DatasetReader
from auth1.fraud.line_types.finder import LineTypeFinder
from auth1.fraud.line_types.lookup import Lookup
from auth1.fraud.proofs.captcha import CaptchaVerifier


class FraudSources:
    """The sources of a worker. All answers but those of `line_types.find` need no I/O."""

    def __init__(self, settings: Settings, postgres: Postgres, keyring: Keyring, log: Log) -> None:
        account = settings.twilio
        lookup = None
        if account is not None and account.lookup_fields:
            lookup = Lookup(account, timeout_scale=settings.timeout_scale)
        self.line_types = LineTypeFinder(postgres, keyring, lookup)
        self.networks = Networks()
        self.captcha = CaptchaVerifier(settings.captcha_verify_url, timeout_scale=settings.timeout_scale)
        self.countries = Countries(settings.geoip_file, log)
        self._datasets = DatasetReader(postgres, log, self.line_types.use_prefixes, self.networks)

    async def refresh(self) -> None:
        """Read files and datasets that have changed. Raises Unavailable."""
        await self.countries.refresh()
        await self._datasets.refresh()

    async def close(self) -> None:
        """Finish writes and close connections. Call it before PostgreSQL stops."""
        await self.line_types.close()
        await self.captcha.close()

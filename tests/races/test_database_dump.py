"""A dump of PostgreSQL and Redis contains no code, key or token."""

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterator

import asyncpg

from auth1.challenges import codes
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.dev.redis import RedisServer
from auth1.sessions import unanswered
from tests.conftest import JWT_SECRET
from tests.races.conftest import NewUser, RaceUser
from tests.support.api_client import ADMIN_TOKEN
from tests.support.providers import twilio
from tests.support.raw_redis import RawRedis

SCHEMES = ("sha1", "sha256", "sha512", "md5", "blake2b", "sha3_256")


async def dump_of_postgres(database: asyncpg.Connection) -> str:
    """Return all rows of all tables as text; bytes in hex."""
    tables = await database.fetch(
        "select oid::regclass::text as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
    )
    rows = [row[0] for table in tables for row in await database.fetch(f"select t::text from {table['name']} as t")]
    return "\n".join(rows)


READ_BY_TYPE: dict[bytes, Callable[[bytes], tuple[str | bytes | int, ...]]] = {
    b"string": lambda key: ("GET", key),
    b"hash": lambda key: ("HGETALL", key),
    b"list": lambda key: ("LRANGE", key, 0, -1),
    b"set": lambda key: ("SMEMBERS", key),
    b"zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
}


async def dump_of_redis(url: str) -> bytes:
    """Return all keys and their values, of every type that Redis has here."""
    raw_redis = await RawRedis.connect(url)
    parts: list[bytes] = []
    for key in await raw_redis.call("KEYS", "*"):
        kind = await raw_redis.call("TYPE", key)
        if kind == b"none":
            continue  # it has just expired
        value = await raw_redis.call(*READ_BY_TYPE[kind](key))
        parts += [key, *([value] if isinstance(value, bytes) else value or ())]
    raw_redis.close()
    return b"\n".join(parts)


async def keep_unanswered_login(user: RaceUser, code: str) -> str:
    """Keep a login as one whose request got no answer; return the id of its event."""
    services, event_id = user.api.services, new_id("evt")
    [mac, *_] = codes.macs(services.keyring, user.tenant_id, user.phone, code)
    key = unanswered.login_key(services.keyring, user.tenant_id, user.phone, mac)
    await unanswered.keep(services.redis, key, [event_id])
    return event_id


async def test_no_secret_appears_in_a_database_dump(
    new_user: NewUser, redis_server: RedisServer, races_url: str
) -> None:
    # Ten digits, which no other number of a dump happens to be.
    user = await new_user(otp_length=10)
    await user.open_challenge()
    answered = user.code
    verified = (await user.answer(answered)).json()
    await user.open_challenge()
    live = user.code
    await user.answer(wrong := user.wrong())
    kept = await keep_unanswered_login(user, live)

    postgres = await dump_of_postgres(user.database)
    redis = await dump_of_redis(redis_server.url())

    assert user.phone in postgres, "this is a dump of what was done here"
    assert user.tenant_id.encode() in redis
    assert kept.encode() in redis, "and so is what is kept of an unanswered login"
    secrets = {
        "answered code": answered,
        "live code": live,
        "wrong code": wrong,
        "refresh token": verified["refresh_token"],
        "random part of it": verified["refresh_token"].rpartition("_")[2],
        "session token": verified["token"],
        "publishable key": user.tenant["api_key"],
        "random part of the secret key": user.tenant["secret_key"].rpartition("_")[2],
        "test key": user.tenant["test_key"],
        "signing secret": user.tenant["jwt_secret"],
        "JWT_SECRET": JWT_SECRET,
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "TWILIO_AUTH_TOKEN": twilio.AUTH_TOKEN,
    }
    for name, secret in secrets.items():
        assert secret not in postgres, name
        assert secret.encode().hex() not in postgres, name
        assert secret.encode() not in redis, name
        assert secret.encode().hex().encode() not in redis, name
    [line] = [line for line in redis.split(b"\n") if line.startswith(f"unanswered:{{{user.tenant_id}}}".encode())]
    assert user.phone.removeprefix("+1").encode() not in line


def guesses_of_a_thief(code: str, context: bytes, known: list[bytes]) -> Iterator[bytes]:
    """Return digests and MACs of a code that an attacker without a secret can compute.

    `context` is what the program itself authenticates with a code: its sources are no secret.
    """
    messages = [code.encode(), *(part + code.encode() for part in known), *(code.encode() + part for part in known)]
    for message in messages:
        yield hashlib.sha256(message).digest()
    for scheme in SCHEMES:
        yield hashlib.new(scheme, code.encode()).digest()
    for key in known:
        yield hmac.digest(key, code.encode(), "sha256")
        yield hmac.digest(key, context + code.encode(), "sha256")


async def test_four_digit_code_in_a_dump_resists_brute_force(new_user: NewUser) -> None:
    user = await new_user(otp_length=4)
    challenge = await user.open_challenge()
    row = await user.row()
    context = f"{user.tenant_id}\0{user.phone}\0login\0".encode()
    key_digests = [
        digest["digest"]
        for digest in await user.database.fetch("select digest from keys where tenant_id = $1", user.tenant_id)
    ]
    known = [
        *(b"", bytes(32), context, user.tenant_id.encode(), user.phone.encode(), challenge.encode()),
        *(row["message_id"].encode(), row["code_box"], *key_digests),
    ]
    all_codes = [f"{number:04d}" for number in range(10_000)]

    for code in all_codes:
        for guess in guesses_of_a_thief(code, context, known):
            assert guess[: len(row["code_mac"])] != row["code_mac"], f"found {code}"

    # With the server's secret it is a matter of ten thousand trials: this is what is kept, and how it is compared.
    keyring = Keyring(JWT_SECRET)
    found = [code for code in all_codes if row["code_mac"] in codes.macs(keyring, user.tenant_id, user.phone, code)]
    assert found == [user.code]


async def test_sealed_code_reveals_no_information(new_user: NewUser) -> None:
    user = await new_user(otp_length=4, rate_limit_per_hour=100)
    boxes, macs = [], []
    for _ in range(8):
        await user.open_challenge()
        row = await user.row()
        boxes.append(row["code_box"])
        macs.append(row["code_mac"])
        await user.answer(user.code)

    assert len(set(boxes)) == len(boxes)
    assert len({len(box) for box in boxes}) == 1
    assert len(set(macs)) == len(set(user.codes))  # equal codes of one identifier are the only equal ones
    row = await user.row()
    assert (row["code_mac"], row["code_box"]) == (None, None), "nothing is kept of a code that was answered"


async def test_same_code_is_sealed_differently_per_phone_and_tenant(new_user: NewUser) -> None:
    keyring = Keyring(JWT_SECRET)
    user, other = await new_user(), await new_user()
    places = [(tenant, phone) for tenant in (user, other) for phone in (user.phone, other.phone)]

    kept = [codes.seal(keyring, tenant.tenant_id, phone, "482913") for tenant, phone in places]

    assert len({code.mac for code in kept}) == len(places)
    for (place, sealed), (other_place, _) in itertools.permutations(zip(places, kept, strict=True), 2):
        assert unsealed(keyring, place, sealed.box) == "482913"
        assert unsealed(keyring, other_place, sealed.box) is None


def unsealed(keyring: Keyring, place: tuple[RaceUser, str], box: bytes) -> str | None:
    return codes.unseal(keyring, place[0].tenant_id, place[1], box)

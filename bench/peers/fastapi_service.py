"""A login service as a team would write it: FastAPI, SQLAlchemy, Redis, PyJWT. It imports nothing of Auth1.

    POST /request {"phone"}         store a hashed code, print it instead of sending it
    POST /verify {"phone", "code"}  at most five attempts; create the user and the session; return a JWT
    GET  /me                        check the JWT, and the session in Redis

It has rate limits by phone and by address, and hashed codes with attempts. It has no tenants, no failover between
providers, no outbox, no events, no refresh tokens, and no fraud rules.
"""

import hashlib
import hmac
import os
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
import phonenumbers
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from pydantic import BaseModel, Field, field_validator
from redis.asyncio import Redis
from sqlalchemy import ForeignKey, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

SECRET = os.environ["SECRET"]
CODE_LIFE = timedelta(minutes=10)
TOKEN_LIFE = timedelta(hours=1)
ATTEMPTS = 5
LIMIT_PER_PHONE = 100
LIMIT_PER_ADDRESS = 1_000_000

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=0)
new_session = async_sessionmaker(engine, expire_on_commit=False)
redis = Redis.from_url(os.environ["REDIS_URL"])


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    phone: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC).replace(tzinfo=None))


class Code(Base):
    __tablename__ = "codes"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    phone: Mapped[str] = mapped_column(index=True)
    code_hash: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)
    used: Mapped[bool] = mapped_column(default=False)
    expires_at: Mapped[datetime]


class Login(Base):
    __tablename__ = "logins"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=lambda: datetime.now(UTC).replace(tzinfo=None))


class PhoneIn(BaseModel):
    phone: str = Field(max_length=20)

    @field_validator("phone")
    @classmethod
    def check_phone(cls, value: str) -> str:
        try:
            number = phonenumbers.parse(value)
        except phonenumbers.NumberParseException as error:
            raise ValueError("not a phone number") from error
        if not phonenumbers.is_possible_number(number):
            raise ValueError("not a possible phone number")
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class CodeIn(PhoneIn):
    code: str = Field(pattern=r"^\d{6}$")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await redis.aclose()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def database() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(database)]


def hash_code(phone: str, code: str) -> str:
    return hmac.new(SECRET.encode(), f"{phone}:{code}".encode(), hashlib.sha256).hexdigest()


async def check_limit(name: str, limit: int) -> None:
    async with redis.pipeline() as pipeline:
        count, _ = await pipeline.incr(name).expire(name, 3600, nx=True).execute()
    if count > limit:
        raise HTTPException(429, "Too many requests")


@app.post("/request")
async def request_code(body: PhoneIn, request: Request, database: Database) -> dict[str, object]:
    await check_limit(f"address:{request.client.host if request.client else ''}", LIMIT_PER_ADDRESS)
    await check_limit(f"phone:{body.phone}", LIMIT_PER_PHONE)
    code = f"{secrets.randbelow(1_000_000):06d}"
    expires_at = (datetime.now(UTC) + CODE_LIFE).replace(tzinfo=None)
    database.add(Code(phone=body.phone, code_hash=hash_code(body.phone, code), expires_at=expires_at))
    await database.commit()
    print(f"message to {body.phone}: your code is: {code}.", flush=True)
    return {"status": "sent", "expires_in": int(CODE_LIFE.total_seconds())}


@app.post("/verify")
async def verify(body: CodeIn, request: Request, database: Database) -> dict[str, object]:
    await check_limit(f"address:{request.client.host if request.client else ''}", LIMIT_PER_ADDRESS)
    newest = select(Code).where(Code.phone == body.phone).order_by(Code.expires_at.desc()).limit(1).with_for_update()
    found = await database.scalar(newest)
    now = datetime.now(UTC).replace(tzinfo=None)
    if found is None or found.used or found.attempts >= ATTEMPTS or found.expires_at < now:
        raise HTTPException(400, "Invalid code")
    found.attempts += 1
    if not hmac.compare_digest(found.code_hash, hash_code(body.phone, body.code)):
        await database.commit()
        raise HTTPException(400, "Invalid code")
    found.used = True
    user = await database.scalar(select(User).where(User.phone == body.phone))
    if user is None:
        user = User(phone=body.phone)
        database.add(user)
        await database.flush()
    login = Login(user_id=user.id)
    database.add(login)
    await database.commit()
    await redis.set(f"login:{login.id}", str(user.id), ex=TOKEN_LIFE)
    claims = {
        "sub": str(user.id),
        "sid": str(login.id),
        "iat": datetime.now(UTC),
        "exp": datetime.now(UTC) + TOKEN_LIFE,
    }
    return {"token": jwt.encode(claims, SECRET, algorithm="HS256"), "user_id": str(user.id)}


@app.get("/me")
async def me(authorization: Annotated[str, Header()]) -> dict[str, object]:
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "Invalid token") from error
    user_id = await redis.get(f"login:{claims['sid']}")
    if user_id is None:
        raise HTTPException(401, "Session ended")
    return {"user_id": user_id.decode()}

# The image of Auth1. The build stage makes a virtual environment with nothing but what `auth1 serve` needs, each
# package checked against its hash; the last stage takes that environment and nothing else: no pip in it, no sources.

FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1
WORKDIR /src
RUN python -m venv --without-pip /opt/auth1
# The requirements first: this layer is built again only when they change.
COPY requirements/serve.txt requirements/serve.txt
RUN pip --python /opt/auth1/bin/python install --require-hashes --only-binary=:all: -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY auth1 auth1
COPY sql sql
RUN pip wheel --no-deps --wheel-dir /src/dist . \
    && pip --python /opt/auth1/bin/python install --no-deps --no-index /src/dist/*.whl

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="Auth1" \
      org.opencontainers.image.description="Self-hosted phone and email authentication" \
      org.opencontainers.image.licenses="MIT"
# A number, not only a name: Kubernetes' runAsNonRoot can tell only from a number that a user is not root.
RUN groupadd --system --gid 10001 auth1 \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin auth1
COPY --from=build /opt/auth1 /opt/auth1
ENV PATH=/opt/auth1/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1
USER 10001:10001
EXPOSE 3000
# Ready means: migrations applied, database reachable, not draining. Proxy variables are for the world outside, not for
# this call to ourselves; an empty PORT counts as unset, as it does in Auth1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('PORT') or '3000') + '/health/ready', timeout=2)"]
# Exec form: Auth1 is process 1 and gets SIGTERM itself. Give it 25 s and more to finish what it is answering.
ENTRYPOINT ["auth1"]
CMD ["serve"]

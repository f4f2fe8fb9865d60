# The image of Auth1. The build stage creates a virtual environment for `auth1 serve` only, with packages checked by hash.
# The last stage contains only that environment, without pip and sources.

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
# A numeric user, because Kubernetes' runAsNonRoot cannot check a name.
RUN groupadd --system --gid 10001 auth1 \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin auth1
COPY --from=build /opt/auth1 /opt/auth1
ENV PATH=/opt/auth1/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONFAULTHANDLER=1
USER 10001:10001
EXPOSE 3000
# Ready means: migrations applied, database reachable, not draining. Proxy variables do not
# apply to this local call. An empty PORT counts as unset, as in Auth1.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os; from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:' + (os.environ.get('PORT') or '3000') + '/health/ready', timeout=2)"]
# Exec form: Auth1 is process 1 and gets SIGTERM itself. Give it at least 25 s to finish requests.
ENTRYPOINT ["auth1"]
CMD ["serve"]

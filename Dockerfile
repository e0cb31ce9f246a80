# Two stages: the first resolves and installs with hashes, the second carries only what runs.
# Run it read-only and without privileges:
#   docker run --read-only --tmpfs /tmp:exec --cap-drop ALL --security-opt no-new-privileges \
#     -v optr-state:/data -e OPTR_APP_ID -e OPTR_WEBHOOK_SECRET -e OPTR_PRIVATE_KEY_FILE=/data/app.pem -p 8080:8080 optr
# The sandbox needs user namespaces or Landlock; where neither is allowed, OPTR refuses to start and says so.
FROM python:3.13-slim-trixie AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/optr
COPY requirements/run.txt requirements/run.txt
RUN /opt/optr/bin/pip install --require-hashes -r requirements/run.txt \
 && /opt/optr/bin/pip install "setuptools==84.2.1"
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY execution execution
COPY governance governance
COPY scoring scoring
COPY ledger ledger
RUN /opt/optr/bin/pip install --no-deps --no-build-isolation . \
 && /opt/optr/bin/pip uninstall --yes setuptools pip

FROM python:3.13-slim-trixie
RUN apt-get update \
 && apt-get install --yes --no-install-recommends bubblewrap ca-certificates git python3 util-linux \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 optr && useradd --uid 10001 --gid optr --no-create-home --shell /usr/sbin/nologin optr \
 && install -d -o optr -g optr -m 0700 /data
COPY --from=build /opt/optr /opt/optr
ENV PATH=/opt/optr/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    OPTR_STATE=/data OPTR_HOST=0.0.0.0 OPTR_PORT=8080
USER optr
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/health', timeout=2)"]
ENTRYPOINT ["optr"]
CMD ["serve"]

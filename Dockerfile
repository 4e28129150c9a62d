# One image for luigid, init, the pipeline and every role of Spark, so that Spark executors have
# the Python and the packages that the pipeline was tested with.
FROM python:3.11.13-slim-bookworm

# procps: Spark's start scripts call ps
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless procps \
    && rm -rf /var/lib/apt/lists/*

# owns the lake and reads the secret files; must be the user who wrote them, see config/env.example
ARG WORKFLOW_UID=1000
RUN useradd --uid "$WORKFLOW_UID" --create-home workflow \
    && install --directory --owner workflow /app /lake /var/lib/luigid

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --use-pep517 \
        -r requirements.txt
COPY luigi.cfg pyproject.toml setup.py ./
COPY config config
COPY db-init db-init
COPY spark_apps spark_apps
COPY workflow workflow
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation -e .

USER workflow
# luigi.cfg is in the working folder; compose.cfg holds what differs in containers
ENV LUIGI_CONFIG_PATH=/app/config/compose.cfg \
    PYSPARK_PYTHON=/usr/local/bin/python3 \
    PYTHONUNBUFFERED=1
CMD ["luigi", "--module", "workflow", "RunDaily"]

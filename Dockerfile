# The whole of enginesmith on NVIDIA's TensorRT image: docs/container.md says what was tried on it.
# Any Debian or Ubuntu with Python 3.11 to 3.14 serves as a base; without CUDA in it the pycuda
# layer says so and is skipped. No BuildKit syntax: buildah and the classic builder read it as well.
ARG BASE_IMAGE=nvcr.io/nvidia/tensorrt:25.08-py3
FROM ${BASE_IMAGE}

USER 0
ARG DEBIAN_FRONTEND=noninteractive

# Versions of system packages follow the base: pinning them here would tie this file to one base.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates python3 python3-venv \
    && if PATH="$PATH:/usr/local/cuda/bin" command -v nvcc >/dev/null; then \
           apt-get install -y --no-install-recommends g++ python3-dev; \
       fi \
    && if ! apt-get install -y --no-install-recommends dataset-fashion-mnist; then \
           echo "No dataset-fashion-mnist package in this base: the quickstart downloads its images"; \
       fi \
    && rm -rf /var/lib/apt/lists/* \
    && python3 -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 14) else f"The base has Python {v[0]}.{v[1]}: choose one with 3.11 to 3.14")'

# The environment sees the base's own tensorrt (system-site-packages), and nothing else of the base
# comes before a pinned package: --ignore-installed puts every pin in the environment even where the
# base has the same one. setuptools goes first, because tensorrt-rtx-cu13 comes as source and an
# isolated build would fetch an unpinned one.
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}:/usr/local/cuda/bin
WORKDIR /opt/enginesmith
COPY requirements.lock ./
RUN python3 -m venv --system-site-packages "$VIRTUAL_ENV" \
    && sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock >/tmp/setuptools.lock \
    && pip install --no-cache-dir --disable-pip-version-check --progress-bar off \
           --ignore-installed --require-hashes --no-deps -r /tmp/setuptools.lock \
    && pip install --no-cache-dir --disable-pip-version-check --progress-bar off --no-build-isolation \
           --ignore-installed --require-hashes --no-deps -r requirements.lock \
    && rm /tmp/setuptools.lock

# pycuda has no wheel: it is compiled against the base's CUDA, with the locked setuptools and NumPy.
COPY requirements-gpu.lock ./
RUN if nvcc="$(command -v nvcc)"; then \
        export CUDA_ROOT="${CUDA_HOME:-$(dirname "$(dirname "$nvcc")")}" \
        && pip install --no-cache-dir --disable-pip-version-check --progress-bar off \
               --no-build-isolation --require-hashes --no-deps -r requirements-gpu.lock; \
    else \
        echo "No nvcc in this base: pycuda is left out, and classic TensorRT engines cannot be timed"; \
    fi \
    && python -c 'import importlib.util as u; s = u.find_spec("tensorrt"); print("tensorrt of the base:", s.origin if s else "none")'

# User code may be mounted anywhere; ours is root's and read-only to the user that runs it.
RUN groupadd --gid 10001 enginesmith \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /artifacts/home enginesmith \
    && install -d -o enginesmith -g enginesmith /artifacts

COPY pyproject.toml README.md ./
COPY schemas schemas
COPY tasks tasks
COPY flows flows
COPY scripts scripts
COPY jobs jobs
COPY prefect.yaml ./
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --editable . \
    && python -m compileall -q schemas tasks flows

# All that is written goes to the volume (and /tmp), so the root file system may be read-only.
# Nothing reports home.
ENV ENGINESMITH_ARTIFACTS=/artifacts \
    ENGINESMITH_JOBS=/opt/enginesmith/jobs \
    PREFECT_LOCAL_STORAGE_PATH=/artifacts/results \
    PREFECT_LOGGING_EXTRA_LOGGERS=enginesmith \
    PREFECT_HOME=/artifacts/.prefect \
    HOME=/artifacts/home \
    USER=enginesmith \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1
VOLUME /artifacts
USER 10001:10001
ENTRYPOINT ["enginesmith"]
CMD ["--help"]

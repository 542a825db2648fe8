# fmnist-ray on NVIDIA GPUs: training and GPU workers. torch's wheels bring CUDA and cuDNN, so the base needs none; the
# host needs a driver for CUDA 13 and the NVIDIA container runtime. About 6 GB.
#
#   docker build -f docker/gpu.Dockerfile -t fmnist-ray:gpu .
FROM python:3.11-slim-trixie AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv
WORKDIR /build
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /opt/venv
COPY docker/constraints.txt docker/
RUN uv pip install --no-cache --require-hashes -r docker/constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY fmnist_ray fmnist_ray
RUN uv pip install --no-cache --no-deps . \
    && uv pip check \
    && uvx --no-cache --from cyclonedx-bom==7.5.0 cyclonedx-py environment /opt/venv/bin/python \
       --pyproject pyproject.toml --output-reproducible -o /opt/venv/sbom.cdx.json

FROM python:3.11-slim-trixie
RUN useradd --uid 1000 --create-home fmnist
COPY --from=build /opt/venv /opt/venv
COPY jobs /opt/jobs
ENV PATH=/opt/venv/bin:$PATH RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /home/fmnist
CMD ["fmnist-ray", "--help"]

# fmnist-ray on CPUs: head, workers, jobs, the endpoint. OpenVINO classifies; torch is its CPU build.
#
#   docker build -f docker/cpu.Dockerfile -t fmnist-ray:cpu .
#   docker run --rm fmnist-ray:cpu cat /opt/venv/sbom.cdx.json     # what is in it: CycloneDX
#
# Every package has its version and hash in constraints-cpu.txt, but for the CPU builds of torch and torchvision, which
# only PyTorch's own index has. Put the digest of the base that you have checked behind its tag for builds that repeat.
FROM python:3.11-slim-trixie AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never VIRTUAL_ENV=/opt/venv
WORKDIR /build
RUN pip install --no-cache-dir uv==0.13.9 && uv venv /opt/venv
COPY docker/constraints-cpu.txt docker/
RUN uv pip install --no-cache --require-hashes -r docker/constraints-cpu.txt \
    && uv pip install --no-cache --no-deps --torch-backend cpu torch==2.15.0 torchvision==0.29.2
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
ENV PATH=/opt/venv/bin:$PATH RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 PYTHONUNBUFFERED=1
USER 1000
WORKDIR /home/fmnist
CMD ["fmnist-ray", "--help"]

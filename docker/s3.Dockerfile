# The S3 server of compose.yaml: the one that the tests use. For trying things out, not for keeping them.
FROM python:3.11-slim-trixie
RUN pip install --no-cache-dir ministack==1.5.33 && useradd --uid 1000 --create-home s3
USER 1000
WORKDIR /home/s3
EXPOSE 4566
CMD ["ministack"]

# Three images from one file: docker build --target server|exporter|monitor .
# The base may be any Debian-like image with Python 3.11 or newer.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md CHANGELOG.md constraints.txt ./
COPY protos protos
COPY server server
COPY exporter exporter
COPY monitor monitor
# The wheel is built once; each target installs it with its own extra, so that none carries the others' packages, nor
# their scripts. What installs stays behind.
RUN python3 -m venv /build && /build/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
  && python3 -m venv --without-pip /opt/sardonyx

FROM build AS build-server
RUN /build/bin/pip --python /opt/sardonyx/bin/python install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[server]" \
  && cd /opt/sardonyx/bin && rm sardonyx-exporter sardonyx-monitor

FROM build AS build-exporter
RUN /build/bin/pip --python /opt/sardonyx/bin/python install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[exporter]" \
  && cd /opt/sardonyx/bin && rm sardonyx-server sardonyx-monitor

FROM build AS build-monitor
RUN /build/bin/pip --python /opt/sardonyx/bin/python install --no-cache-dir --constraint constraints.txt "$(echo /wheels/*.whl)[monitor]" \
  && cd /opt/sardonyx/bin && rm sardonyx-server sardonyx-exporter

FROM ${BASE_IMAGE} AS runtime
RUN useradd --system --uid 10001 --create-home sardonyx && mkdir -p /registry /data && chown sardonyx /registry /data
# C.UTF-8 is in every Debian image: string operators of ONNX Runtime need a UTF-8 locale to load at all.
ENV PATH=/opt/sardonyx/bin:$PATH LANG=C.UTF-8 PYTHONUNBUFFERED=1 SARDONYX_REGISTRY=/registry
# By its number: Kubernetes' runAsNonRoot takes no name.
USER 10001
WORKDIR /home/sardonyx

FROM runtime AS exporter
COPY --from=build-exporter /opt/sardonyx /opt/sardonyx
VOLUME ["/registry"]
ENTRYPOINT ["sardonyx-exporter"]

FROM runtime AS monitor
COPY --from=build-monitor /opt/sardonyx /opt/sardonyx
ENV SARDONYX_DATA=/data SARDONYX_OTLP=0.0.0.0:4317 SARDONYX_WEB=0.0.0.0:8080
VOLUME ["/data"]
EXPOSE 4317 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["/opt/sardonyx/bin/python", "-c", "import grpc, os, sys; from grpc_health.v1 import health_pb2 as h, health_pb2_grpc as g; sys.exit(g.HealthStub(grpc.insecure_channel('127.0.0.1:' + os.environ['SARDONYX_OTLP'].rpartition(':')[2])).Check(h.HealthCheckRequest(), timeout=2).status != 1)"]
ENTRYPOINT ["sardonyx-monitor"]

FROM runtime AS server
COPY --from=build-server /opt/sardonyx /opt/sardonyx
ENV SARDONYX_LISTEN=0.0.0.0:8001
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["sardonyx-server", "health"]
ENTRYPOINT ["sardonyx-server"]

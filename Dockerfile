# The image of the service: one static program on nothing.
#
#     docker build --build-arg COMMIT="$(git rev-parse HEAD)" --tag token-exchange .
#
# Its steps are in scripts/image.sh, which runs without Docker too. Layers keep the dependencies
# until Cargo.lock changes. A base may be put in the place of ours: anything with Rust, gcc, libc.a
# and CA certificates, as rust:slim has them.
ARG BUILD_BASE=docker.io/library/rust:1.95.0-slim-bookworm

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY scripts/image.sh scripts/
RUN scripts/image.sh dependencies
COPY LICENSE ./
COPY src src
# Here and not before: it is another one in every build.
ARG COMMIT
RUN TOKEN_EXCHANGE_COMMIT="$COMMIT" scripts/image.sh program \
    && scripts/image.sh root /root-of-the-image && mkdir -m 0700 /data

FROM scratch
COPY --from=build /root-of-the-image /
# For what outlives the container: a volume there belongs to the user below.
COPY --from=build --chown=65532:65532 /data /data
ARG COMMIT
ARG VERSION
ARG CREATED
ARG SOURCE=https://github.com/m-lab/token-exchange
LABEL org.opencontainers.image.title="token-exchange" \
    org.opencontainers.image.description="Trades API keys for short-lived signed JWTs" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.revision="$COMMIT" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.created="$CREATED"
# By number: who forbids root has to see from it alone that this is not root.
USER 65532:65532
EXPOSE 8080 9990
ENTRYPOINT ["/token-exchange"]

#!/usr/bin/env bash
#
# Builds the image, looks into it, and runs it as in production: read-only, not as root, without
# capabilities, in 256 MiB. A key is exchanged there.
#
# Usage: scripts/check-image.sh [IMAGE]     IMAGE: one that is built already
#
# Needs docker or podman (CONTAINER_ENGINE says which, with its options) and curl. Where no registry
# can be reached, BUILD_BASE=debian makes a base like rust:slim of Debian's packages and of the Rust
# and the crates of this machine (mmdebstrap, with podman).

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The promise, in bytes.
readonly MAX_SIZE=15000000
readonly WITHIN=30
readonly COMMIT=0123456789abcdef0123456789abcdef01234567

# What cannot be checked is said; in CI it is a failure.
skip() {
    printf 'skipped: the image was not checked: %s\n' "$1" >&2
    if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
}

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

choose_engine() {
    if [ -n "${CONTAINER_ENGINE:-}" ]; then
        read -ra engine <<<"$CONTAINER_ENGINE"
    elif docker info >/dev/null 2>&1; then
        engine=(docker)
    elif command -v podman >/dev/null; then
        engine=(podman)
    else
        skip 'there is neither docker nor podman'
    fi
    command -v curl >/dev/null || skip 'curl is missing'
    limits=(--ulimit "nofile=$(ulimit -Hn):$(ulimit -Hn)")
    [ "${engine[0]}" = docker ] || limits+=(--ulimit nproc=4096:4096)
}

build() {
    local options=(--build-arg "COMMIT=$COMMIT" --build-arg VERSION=0.0.0)
    if [ "${BUILD_BASE:-}" = debian ]; then
        debian_base
        # The crates of this machine: nothing is fetched.
        options+=(--build-arg BUILD_BASE=localhost/token-exchange-base --isolation chroot
            --volume "${CARGO_HOME:-$HOME/.cargo}/registry:/usr/local/cargo/registry"
            --env CARGO_NET_OFFLINE=true --pull=never)
    elif [ -n "${BUILD_BASE:-}" ]; then
        options+=(--build-arg "BUILD_BASE=$BUILD_BASE")
    fi
    "${engine[@]}" build "${options[@]}" --tag "$image" .
}

debian_base() {
    command -v mmdebstrap >/dev/null || skip 'mmdebstrap is missing'
    local base=localhost/token-exchange-base release sources sysroot
    ! "${engine[@]}" image inspect "$base" >/dev/null 2>&1 || return 0
    release="$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)"
    sources=/etc/apt/sources.list.d/debian.sources
    [ -e "$sources" ] || sources=/etc/apt/sources.list
    sysroot="$(rustc --print sysroot)"
    mmdebstrap --quiet --variant=minbase --include=gcc,libc6-dev,ca-certificates \
        --customize-hook="mkdir -p \"\$1/usr/local/rust/share/doc/rust\" &&
            cp -r '$sysroot/bin' '$sysroot/lib' \"\$1/usr/local/rust\" &&
            cp '$sysroot/share/doc/rust/COPYRIGHT-library.html' \"\$1/usr/local/rust/share/doc/rust\"" \
        "$release" - "$sources" |
        "${engine[@]}" import --change 'ENV PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            --change 'ENV CARGO_HOME=/usr/local/cargo' - "$base"
}

# Nothing is in it but what belongs there, and it says what it is.
look() {
    local size files user
    size="$("${engine[@]}" image inspect --format '{{.Size}}' "$image")"
    printf 'size: %d bytes of %d\n' "$size" "$MAX_SIZE"
    [ "$size" -le "$MAX_SIZE" ] || fail 'the image is too large'

    user="$("${engine[@]}" image inspect --format '{{.Config.User}}' "$image")"
    [ "$user" = 65532:65532 ] || fail "it runs as $user"
    [ "$(label revision) $(label licenses)" = "$COMMIT Apache-2.0" ] ||
        fail 'its labels do not say what it is'

    "${engine[@]}" create --name "$name" "$image" >/dev/null
    # What the engine puts there for a running container is not the image's.
    files="$("${engine[@]}" export "$name" | tar --list |
        grep -v -e '/$' -e '^\.dockerenv$' -e '^dev/' -e '^etc/hostname$' -e '^etc/hosts$' \
            -e '^etc/resolv.conf$' -e '^etc/mtab$' -e '^run/' | LC_ALL=C sort)"
    "${engine[@]}" rm "$name" >/dev/null
    [ "$files" = "$(printf '%s\n' create-integration etc/group etc/passwd \
        etc/ssl/certs/ca-certificates.crt licenses/LICENSE licenses/RUST-LIBRARY.html.gz \
        licenses/THIRD-PARTY.txt.gz token-exchange)" ] || fail "unexpected files: $files"
}

label() {
    "${engine[@]}" image inspect \
        --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" "$image"
}

# run OPTION... -- ARGUMENT...: as in production.
run() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    shift
    "${engine[@]}" run "${limits[@]}" --read-only --cap-drop all --memory 256m \
        --security-opt no-new-privileges --volume "$name:/data" "${options[@]}" "$image" "$@"
}

exchange() {
    local version key address answer
    version="$(run --rm -- --version)"
    [[ "$version" == "token-exchange "*" ($COMMIT)" ]] || fail "it is $version"
    ! run --rm --entrypoint /bin/sh -- -c true 2>/dev/null || fail 'there is a shell'

    run --rm -- signing-key generate /data/jwk-priv.json
    key="$(run --rm --entrypoint /create-integration -- -key-store=sqlite:/data/keys.db \
        -integration-id=demo 2>/dev/null | sed -n 's/^API Key: *//p')"
    run --detach --name "$name" --publish 127.0.0.1::8080 -- \
        -private-key-path=/data/jwk-priv.json -key-store=sqlite:/data/keys.db >/dev/null
    address="$("${engine[@]}" port "$name" 8080/tcp | head -n 1)"
    eventually 'the service answers' curl -sf "http://$address/health"
    answer="$(printf '{"api_key":"%s"}' "$key" |
        curl -s --data-binary @- "http://$address/v0/token/integration")"
    [[ "$answer" =~ ^\{\"token\":\"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\"\}$ ]] ||
        fail "no token: $answer"
    printf 'a key was exchanged\n'
    "${engine[@]}" stop -t 10 "$name" >/dev/null
    [ "$("${engine[@]}" inspect --format '{{.State.ExitCode}}' "$name")" = 0 ] ||
        fail 'it did not end by itself'
    "${engine[@]}" rm "$name" >/dev/null
}

# A static program asks the DNS by code of its own: a name that only the DNS knows is found.
find_names() {
    "${engine[@]}" network create "$name" >/dev/null
    run --detach --name "$name" --network "$name" --publish 127.0.0.1::8080 \
        --env "DATASTORE_EMULATOR_HOST=$name:1" -- -private-key-path=/data/jwk-priv.json >/dev/null
    local address
    address="$("${engine[@]}" port "$name" 8080/tcp | head -n 1)"
    eventually 'the service answers' curl -sf "http://$address/health"
    curl -s --output /dev/null "http://$address/v0/token/integration" \
        --data '{"api_key":"mlabk.cii_a.ki_a.a"}'
    "${engine[@]}" logs "$name" 2>&1 | grep -q 'Connection refused' ||
        fail 'it does not find a name in the DNS'
    printf 'a name was found in the DNS\n'
}

# eventually WHAT COMMAND...
eventually() {
    local what="$1" deadline=$((SECONDS + WITHIN))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            "${engine[@]}" logs "$name" >&2 || true
            fail "not within $WITHIN s: $what"
        fi
        sleep 0.2
    done
}

clean() {
    "${engine[@]}" rm --force "$name" >/dev/null 2>&1 || true
    "${engine[@]}" volume rm "$name" >/dev/null 2>&1 || true
    "${engine[@]}" network rm "$name" >/dev/null 2>&1 || true
}

choose_engine
name="token-exchange-check-$$"
image="${1:-token-exchange:check}"
trap clean EXIT
[ $# -gt 0 ] || build
look
exchange
find_names
printf 'the image is as it should be\n'

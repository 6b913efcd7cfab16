#!/usr/bin/env bash
#
# Runs the real collector with otel-collector/config.yaml beside the real service, and sees every
# family of metrics arrive where Prometheus would be, with basic auth and the labels of the
# platform, and the trace of an exchange where Cloud Trace would be, with the credentials of the
# service's account.
#
# Usage: scripts/check-collector.sh [TOKEN-EXCHANGE]     default: target/debug/token-exchange
#
# Builds the collector from its modules (tests/collector), which takes minutes once, into
# target/collector. All ports are those of production, in a network of its own.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly SERVICE="${1:-target/debug/token-exchange}"
readonly BUILT="${CARGO_TARGET_DIR:-$PWD/target}/collector"
# Three scrapes.
readonly WITHIN=45
readonly FAMILIES='
tokenexchange_autojoin_requests_total
tokenexchange_autojoin_request_duration_seconds_bucket
tokenexchange_integration_requests_total
tokenexchange_integration_request_duration_seconds_bucket'
# As the detection of Google Cloud gives them on Cloud Run.
readonly LABELS='cloud_account_id="mlab-sandbox" cloud_region="us-east1" faas_name="auth" code="200" method="post" job="token-exchange"'

# What cannot be checked is said; in CI it is a failure.
need() {
    if ! eval "$2" >/dev/null 2>&1; then
        printf 'skipped: the collector was not run: %s\n' "$1" >&2
        if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
    fi
}

build() {
    local name
    for name in otelcol stand-in; do
        # Of Prometheus' ways to find what to scrape only the list in the configuration is needed.
        go build -C tests/collector -mod=readonly -buildvcs=false -tags remove_all_sd \
            -ldflags '-s -w' -o "$BUILT/$name" "./cmd/$name"
    done
}

# In a network of its own: starts everything, asks for tokens, and looks at what arrives.
inside() {
    ip link set lo up
    local folder
    folder="$(mktemp -d)"
    # shellcheck disable=SC2064 # the folder of now
    trap "kill \$(jobs -p) 2>/dev/null || true; wait; rm -rf '$folder'" EXIT

    without_google
    local service stand_in
    service="$(realpath "$SERVICE")"
    # As service.yaml has it, with a ratio of all.
    (cd "$folder" && exec env OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://localhost:4317 \
        OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=1 "$service" dev) \
        >"$folder/page" 2>"$folder/service.log" &
    "$BUILT/stand-in" someone secret "$folder/certificate" >"$folder/series" &
    stand_in=$!
    eventually 'the stand-ins are there' [ -s "$folder/certificate" ]
    TRACES_EXPORTER=googlecloud GCE_METADATA_HOST=127.0.0.1:8082 \
        SSL_CERT_FILE="$folder/certificate" \
        collector --config tests/collector/traces.yaml >"$folder/collector.log" 2>&1 &

    eventually 'the service serves' grep -q 'Stop with' "$folder/page"
    eventually 'the collector is healthy' healthy
    grep -A 1 '/v0/token/' "$folder/page" | grep -v '^--' >"$folder/exchanges"
    bash "$folder/exchanges" >/dev/null

    local family label series
    for family in $FAMILIES; do
        eventually "$family arrives" grep -q "^$family{.*code=\"200\"" "$folder/series" || {
            tail -n 20 "$folder/collector.log" "$folder/series" >&2
            exit 1
        }
        series="$(grep -m 1 "^$family{.*code=\"200\"" "$folder/series")"
        printf '%s\n' "$series"
        for label in $LABELS; do
            if [[ "$series" != *"$label"* ]]; then
                printf 'it has not %s\n' "$label" >&2
                exit 1
            fi
        done
    done
    # All the others are there, too: with their names, and a histogram with its buckets.
    local all
    all="$(curl -sf http://127.0.0.1:9990/metrics |
        sed -nE 's/^# TYPE ([a-z_]+) (counter|gauge)$/\1/p; s/^# TYPE ([a-z_]+) histogram$/\1_bucket/p')"
    for family in $all; do
        eventually "$family arrives" grep -q "^$family{.*job=\"token-exchange\"" "$folder/series" || {
            tail -n 20 "$folder/collector.log" >&2
            exit 1
        }
    done
    printf '%s families in all\n' "$(wc -w <<<"$all")"
    find_traces
    lose_traces "$stand_in"
}

# collector OPTION...: with the configuration that is deployed, and the environment of the sidecar.
collector() {
    exec env K_SERVICE=auth K_REVISION=auth-1 K_CONFIGURATION=auth \
        PROMETHEUS_ENDPOINT=http://127.0.0.1:9091/api/v1/write \
        PROMETHEUS_USER=someone PROMETHEUS_PASSWORD=secret \
        "$BUILT/otelcol" --config otel-collector/config.yaml "$@"
}

healthy() {
    curl -sf http://127.0.0.1:13133/
}

# As for developers: with nothing of Google's, and traces off.
without_google() {
    local alone
    collector >"$folder/alone.log" 2>&1 &
    alone=$!
    eventually 'the collector is healthy without Google Cloud' healthy || {
        tail -n 20 "$folder/alone.log" >&2
        exit 1
    }
    kill "$alone"
    wait "$alone"
    printf 'it runs without Google Cloud\n'
}

# The spans of each exchange arrive in the trace that its record names.
find_traces() {
    local traces trace span route
    # Of the records of exchanges, one a token family.
    traces="$(sed -n 's/.*"logging.googleapis.com\/trace":"\([^"]*\)".*/\1/p' "$folder/service.log")"
    [ "$(wc -w <<<"$traces")" = 2 ] || {
        printf 'not two records with a trace: %s\n' "$traces" >&2
        exit 1
    }
    for trace in $traces; do
        for span in 'POST /v0/token/[a-z]*' parse find attempt verify sign; do
            eventually "the span $span of the trace $trace arrives" \
                grep -q "^span $span: projects/mlab-sandbox/traces/${trace##*/}/" "$folder/series" || {
                tail -n 40 "$folder/collector.log" "$folder/service.log" >&2
                exit 1
            }
        done
    done
    for route in integration autojoin; do
        grep -m 1 "^span POST /v0/token/$route: .*\"token-exchange\"" "$folder/series"
    done
    if grep -q '^refused: ' "$folder/series"; then exit 1; fi
}

# lose_traces STAND-IN: what Cloud Trace does not take, the service counts.
lose_traces() {
    kill "$1"
    bash "$folder/exchanges" >/dev/null
    eventually 'the service counts what is lost' counts_lost || {
        tail -n 40 "$folder/collector.log" "$folder/service.log" >&2
        exit 1
    }
    printf 'what Cloud Trace does not take is counted as lost\n'
}

counts_lost() {
    curl -sf http://127.0.0.1:9990/metrics |
        grep -q '^tokenexchange_traces_dropped_total{reason="export_failed"} [1-9]'
}

# eventually WHAT COMMAND...
eventually() {
    local what="$1" deadline=$((SECONDS + WITHIN))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            printf 'not within %d s: %s\n' "$WITHIN" "$what" >&2
            return 1
        fi
        sleep 0.2
    done
}

if [ "${INSIDE:-}" = yes ]; then
    inside
    exit
fi
need 'Go is missing' 'command -v go'
need "$SERVICE is missing" "[ -x '$SERVICE' ]"
need 'curl is missing' 'command -v curl'
need 'ip is missing (Debian: iproute2)' 'command -v ip'
need 'no network of its own can be made (unshare)' 'unshare --net --map-root-user true'
build
INSIDE=yes exec unshare --net --map-root-user "${BASH_SOURCE[0]}" "$@"

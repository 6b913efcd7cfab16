#!/usr/bin/env bash
#
# Deploys two images to Cloud Run: a revision without traffic first, an exchange with it, and only
# then all traffic. Whatever fails, the revisions that serve go on serving.
#
# Usage: scripts/deploy.sh
#
# Needs Google Cloud (gcloud, with the roles that docs/operations.md names) and curl. The last step
# of cloudbuild.yaml, which gives it its settings by the environment:
#
#   PROJECT_ID REGION SERVICE_NAME SECRET_NAME PLATFORM_NS BUILD_ID IMAGE COLLECTOR_IMAGE
#   SERVICE_ACCOUNT     that the service runs as; empty: the project's default
#   CANARY_KEY_SECRET   a secret with the API key of an integration, to be exchanged; empty: a key
#                       that does not exist has to be refused, which only a store that answers can
#   TRACES_RATIO        the share of exchanges that is traced; empty: no traces

set -euo pipefail
# A failure within $(…) ends the script too.
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# How long the new revision may take to its first answer: a cold start, and the way of a new name.
readonly CANARY_WITHIN="${CANARY_WITHIN:-60}"
# Longer than any answer of the service takes.
readonly ANSWER_WITHIN=15
readonly UNKNOWN_KEY=mlabk.cii_canary.ki_0000000000000000.none

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

# gcloud_run COMMAND...: of the services of the region.
gcloud_run() {
    gcloud run services "$@" --project="$PROJECT_ID" --region="$REGION"
}

main() {
    local name
    # shellcheck disable=SC2034 # service_manifest reads it by its name.
    SERVICE_ACCOUNT="${SERVICE_ACCOUNT:-}"
    TRACES_RATIO="${TRACES_RATIO:-}"
    CANARY_KEY_SECRET="${CANARY_KEY_SECRET:-}"
    for name in PROJECT_ID REGION SERVICE_NAME SECRET_NAME PLATFORM_NS BUILD_ID IMAGE \
        COLLECTOR_IMAGE; do
        [ -n "${!name:-}" ] || fail "$name is not set"
    done
    # A revision with another one would not start.
    [[ "$TRACES_RATIO" =~ ^(0(\.[0-9]+)?|1(\.0+)?)?$ ]] ||
        fail "TRACES_RATIO is no number from 0 to 1: $TRACES_RATIO"
    # With a name of its own, what is checked is what gets the traffic, whoever else deploys.
    REVISION="$SERVICE_NAME-b${BUILD_ID:0:8}"

    local serving manifest
    serving="$(serving_revisions)"
    # shellcheck disable=SC2034 # as above
    if [ -n "$serving" ]; then PERCENT=0; else PERCENT=100; fi
    manifest="$(service_manifest)$serving"
    gcloud_run replace - --quiet <<<"$manifest"

    # Adds one binding; whatever else the policy holds stays.
    gcloud_run add-iam-policy-binding "$SERVICE_NAME" \
        --member=allUsers --role=roles/run.invoker --quiet >/dev/null

    local url
    url="$(canary_url)"
    check "$url" || fail "the new revision $REVISION does not exchange; it gets no traffic: $url"
    gcloud_run update-traffic "$SERVICE_NAME" --to-revisions="$REVISION=100" --quiet
    printf 'all traffic goes to %s\n' "$REVISION"
}

# The revisions that have traffic or a tag now, as further entries of `traffic`. Nothing where the
# service does not exist yet, which is not the same as not finding that out.
serving_revisions() {
    local services revision percent tag
    services="$(gcloud_run list --format='value(metadata.name)')"
    grep -qFx "$SERVICE_NAME" <<<"$services" || return 0
    local rows
    rows="$(traffic)"
    while IFS=, read -r revision percent tag _; do
        [ "$tag" != canary ] || tag=
        if [ -z "$revision" ] || [ -z "${percent#0}$tag" ]; then continue; fi
        printf '\n    - revisionName: %s' "$revision"
        [ -z "$percent" ] || printf '\n      percent: %s' "$percent"
        [ -z "$tag" ] || printf '\n      tag: %s' "$tag"
    done <<<"$rows"
}

# Revision, percent, tag and URL, a line for each target of traffic.
traffic() {
    local of=status.traffic
    gcloud_run describe "$SERVICE_NAME" --flatten='status.traffic[]' \
        --format="csv[no-heading]($of.revisionName,$of.percent,$of.tag,$of.url)"
}

# service.yaml with values in the place of ${…}.
service_manifest() {
    local text name
    text="$(grep -v '^ *#' service.yaml)"
    [ -n "$SERVICE_ACCOUNT" ] || text="$(grep -v serviceAccountName <<<"$text")"
    [ -n "$TRACES_RATIO" ] || text="$(grep -v TRACES <<<"$text")"
    for name in PROJECT_ID SERVICE_NAME SECRET_NAME PLATFORM_NS IMAGE COLLECTOR_IMAGE \
        SERVICE_ACCOUNT TRACES_RATIO REVISION PERCENT; do
        [[ "${!name}" =~ ^[A-Za-z0-9._:/@-]*$ ]] || fail "$name has a letter that YAML may mistake"
        text="${text//"\${$name}"/"${!name}"}"
    done
    [[ "$text" != *"\${"* ]] || fail 'service.yaml asks for a value that nobody gives'
    printf '%s' "$text"
}

canary_url() {
    local rows url
    rows="$(traffic)"
    url="$(awk -F , '$3 == "canary" { print $4 }' <<<"$rows")"
    [ -n "$url" ] || fail 'the new revision has no URL of its own'
    printf '%s' "$url"
}

# check URL: it is ready, publishes keys, and exchanges.
check() {
    local url="$1" deadline=$((SECONDS + CANARY_WITHIN))
    until [ "$(status_of "$url/ready")" = 200 ]; do
        [ "$SECONDS" -lt "$deadline" ] || {
            printf '%s/ready does not answer with 200\n' "$url" >&2
            return 1
        }
        sleep 1
    done
    curl --silent --max-time "$ANSWER_WITHIN" "$url/.well-known/jwks.json" | grep -q '"kid"' || {
        printf 'no signing key is published\n' >&2
        return 1
    }
    exchange "$url"
}

status_of() {
    curl --silent --output /dev/null --write-out '%{http_code}' --max-time "$ANSWER_WITHIN" "$1" ||
        true
}

exchange() {
    local url="$1/v0/token/integration" key="$UNKNOWN_KEY" wanted=401 answer status
    if [ -n "$CANARY_KEY_SECRET" ]; then
        key="$(gcloud secrets versions access latest --secret="$CANARY_KEY_SECRET" \
            --project="$PROJECT_ID")" || return 1
        wanted=200
    fi
    [[ "$key" != *[\"\\[:cntrl:]]* ]] || fail 'the key of the canary is none that was generated'
    # The key goes by a pipe: a command line can be read by others.
    answer="$(printf '{"api_key":"%s"}' "$key" | curl --silent --max-time "$ANSWER_WITHIN" \
        --data-binary @- --write-out '\n%{http_code}' "$url")" || true
    status="${answer##*$'\n'}"
    if [ "$status" != "$wanted" ]; then
        printf 'an exchange was answered with %s, not %s\n' "$status" "$wanted" >&2
        return 1
    fi
    if [ "$wanted" = 200 ]; then
        [[ "$answer" =~ ^\{\"token\":\"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\"\} ]] || {
            printf 'an exchange gave no token\n' >&2
            return 1
        }
        printf 'an exchange gave a token\n'
    else
        printf 'a key that does not exist was refused: the store answers\n'
    fi
}

main

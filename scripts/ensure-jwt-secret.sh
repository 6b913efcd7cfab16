#!/usr/bin/env bash
#
# Creates the secret with the signing key, if there is none. One that is there is never touched.
#
# Usage: [PROJECT_ID=mlab-sandbox] scripts/ensure-jwt-secret.sh
#
# Needs Google Cloud (gcloud, with roles/secretmanager.admin on the project) and token-exchange on
# the PATH, or where TOKEN_EXCHANGE says. The key is for RS256, 2048 bits; nobody sees it.

set -euo pipefail

readonly PROJECT_ID="${PROJECT_ID:-mlab-sandbox}"
readonly SECRET_NAME=auth-private-key
readonly TOKEN_EXCHANGE="${TOKEN_EXCHANGE:-token-exchange}"

fail() {
    printf 'error: %s\n' "$1" >&2
    exit 1
}

for program in gcloud "$TOKEN_EXCHANGE"; do
    command -v "$program" >/dev/null || fail "$program is needed, and is not there"
done

# The list and not a look at the secret: a failure to look is no proof that there is none.
secrets="$(gcloud secrets list --project="$PROJECT_ID" --format='value(name.basename())')" ||
    fail "it could not be found out whether $SECRET_NAME exists in $PROJECT_ID; nothing was changed"

if grep -qFx "$SECRET_NAME" <<<"$secrets"; then
    states="$(gcloud secrets versions list "$SECRET_NAME" --project="$PROJECT_ID" \
        --format='value(state)')" ||
        fail "$SECRET_NAME exists in $PROJECT_ID, but its versions could not be listed"
    grep -qix enabled <<<"$states" ||
        fail "$SECRET_NAME exists in $PROJECT_ID without an enabled version; add or enable one"
    printf '%s exists in %s; nothing to do\n' "$SECRET_NAME" "$PROJECT_ID"
    exit 0
fi

umask 077
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
"$TOKEN_EXCHANGE" signing-key generate "$folder/jwk-priv.json"

# Fails if somebody else has made it meanwhile.
gcloud secrets create "$SECRET_NAME" --project="$PROJECT_ID" --replication-policy=automatic \
    --data-file="$folder/jwk-priv.json" ||
    fail "$SECRET_NAME could not be created in $PROJECT_ID"
printf '%s was created in %s\n' "$SECRET_NAME" "$PROJECT_ID"

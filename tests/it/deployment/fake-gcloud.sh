#!/usr/bin/env bash
# Stands in for gcloud: writes down what it was asked, and answers with a file of $FAKE_GCLOUD. A
# file that is not there is a question that could not be answered.

set -euo pipefail
cd "$FAKE_GCLOUD"

printf '%s\n' "$*" >>calls

answer() {
    cat "$1" || {
        printf 'ERROR: (gcloud) the connection was lost\n' >&2
        exit 1
    }
}

case "$*" in
"run services list "*) answer services ;;
"run services replace "*) cat >manifest ;;
"run services describe "*) if [ -e manifest ]; then answer traffic-after; else answer traffic; fi ;;
"run services add-iam-policy-binding "* | "run services update-traffic "*) ;;
"secrets list "*) answer secrets ;;
"secrets versions list "*) answer versions ;;
"secrets versions access "*) answer api-key ;;
"secrets create "*)
    answer may-create
    for argument in "$@"; do
        [ "${argument#--data-file=}" = "$argument" ] || cp "${argument#--data-file=}" created
    done
    ;;
*)
    printf 'ERROR: (gcloud) no such command: %s\n' "$*" >&2
    exit 2
    ;;
esac

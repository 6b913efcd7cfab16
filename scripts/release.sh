#!/usr/bin/env bash
#
# What a release holds: the static program with the list of its dependencies inside (cargo-auditable),
# the same list as a file (CycloneDX), the licences, and checksums.
#
# Usage: scripts/release.sh FOLDER
#
# TOKEN_EXCHANGE_COMMIT says by which commit `--version` names it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly CARGO_AUDITABLE=0.7.7
readonly CARGO_CYCLONEDX=0.5.9

folder="${1:?a folder}"
tools="${CARGO_TARGET_DIR:-$PWD/target}/tools"
export PATH="$tools/bin:$PATH"
for tool in "cargo-auditable@$CARGO_AUDITABLE" "cargo-cyclonedx@$CARGO_CYCLONEDX"; do
    CARGO_TARGET_DIR="$tools/build" cargo install --quiet --locked --debug --root "$tools" "$tool"
done

name="token-exchange-$(uname -m)-linux"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
CARGO='cargo auditable' scripts/image.sh program
CARGO='cargo auditable' scripts/image.sh root "$root"
mkdir -p "$folder"
tar --create --gzip --file "$folder/$name.tar.gz" --directory "$root" \
    --owner=0 --group=0 --sort=name token-exchange create-integration licenses
cargo cyclonedx --format json --spec-version 1.5 --override-filename sbom
mv sbom.json "$folder/$name.cdx.json"
(cd "$folder" && sha256sum "$name".* >SHA256SUMS)

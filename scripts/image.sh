#!/usr/bin/env bash
#
# The steps of the Dockerfile, which can be run without it.
#
# Usage: scripts/image.sh dependencies     builds what the program depends on, without its source
#        scripts/image.sh program          builds the program
#        scripts/image.sh root FOLDER      lays out the root of the image
#
# Needs Rust, a C compiler and libc.a. The program is linked statically, since the image has no
# libraries. TOKEN_EXCHANGE_COMMIT says by which commit `--version` names it.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

TARGET="$(uname -m)-unknown-linux-gnu"
readonly TARGET
readonly TARGET_DIR="${CARGO_TARGET_DIR:-target}"
# With --target, so that it is no matter of build scripts and procedural macros.
# The linker packs the relocations of a program that may lie anywhere: half a megabyte less.
export RUSTFLAGS='-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs'

# What the image runs as; nobody else's number.
readonly USER_ID=65532

build() {
    # CARGO may say another way to build, as a release does.
    ${CARGO:-cargo} build --release --locked --target "$TARGET" --bin token-exchange
}

# Of the source only what Cargo asks for: this layer is kept as long as Cargo.lock is.
dependencies() {
    if [ -e src/lib.rs ]; then
        printf 'the source is here already; dependencies are built before it comes\n' >&2
        exit 1
    fi
    mkdir -p src/bin
    touch src/lib.rs
    printf 'fn main() {}\n' | tee src/main.rs >src/bin/create-integration.rs
    build
}

program() {
    # Cargo goes by dates, and the stubs of `dependencies` are younger than the source.
    touch src/lib.rs src/main.rs
    build
}

root() {
    local root="$1"
    install -D -m 0755 "$TARGET_DIR/$TARGET/release/token-exchange" "$root/token-exchange"
    # The same program, which goes by the name that it is called by.
    ln -s token-exchange "$root/create-integration"
    # Google's libraries look for it there, and end the process without it.
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt \
        "$root/etc/ssl/certs/ca-certificates.crt"
    printf 'nonroot:x:%d:%d::/nonexistent:/nonexistent\n' "$USER_ID" "$USER_ID" >"$root/etc/passwd"
    printf 'nonroot:x:%d:\n' "$USER_ID" >"$root/etc/group"
    install -D -m 0644 LICENSE "$root/licenses/LICENSE"
    # Compressed: they are a megabyte otherwise, a twelfth of the image.
    third_party | gzip -9n >"$root/licenses/THIRD-PARTY.txt.gz"
    gzip -9nc "$(rustc --print sysroot)/share/doc/rust/COPYRIGHT-library.html" \
        >"$root/licenses/RUST-LIBRARY.html.gz"
}

# The licences of all that is in the image: of each crate that is linked, and of what Debian gave.
third_party() {
    local crates sources texts
    crates="$(cargo tree --locked --target "$TARGET" --edges normal,no-proc-macro --prefix none \
        --format '{p}|{l}|{r}' | sed 's/ (\*)$//' | grep -v '^token-exchange v' | sort -u)"
    sources="$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/)"
    texts="$(mktemp -d)"

    printf 'What token-exchange is linked with, and under which licences:\n\n'
    local name licence repository
    while IFS='|' read -r name licence repository; do
        printf '%s: %s\n' "${name/ v/ }" "$licence"
        keep_texts_of "$name" "$licence" "$repository"
    done <<<"$crates"
    printf '%s\n' \
        'SQLite: public domain' \
        "The Rust Programming Language's standard library: see RUST-LIBRARY.html.gz" \
        'GNU C Library, and the runtime of GCC: see below' \
        'Certificates of certification authorities, by Mozilla: see below'

    local text
    for text in "$texts"/*.text; do
        printf '\n%s\n' '----------------------------------------------------------------------'
        sort -u "${text%.text}.users" | sed 's/^/For /'
        printf '\n'
        cat "$text"
    done
    for text in libc6 libgcc-s1 ca-certificates; do
        printf '\n%s\nFor the package %s of Debian\n\n' \
            '----------------------------------------------------------------------' "$text"
        cat "/usr/share/doc/$text/copyright"
    done
    for text in LGPL-2.1 GPL-3 MPL-2.0; do
        printf '\n%s\n%s\n\n' \
            '----------------------------------------------------------------------' "$text"
        cat "/usr/share/common-licenses/$text"
    done
    rm -r "$texts"
}

# keep_texts_of CRATE LICENCE REPOSITORY: equal texts are kept once, with all who use them.
keep_texts_of() {
    local name="$1" files
    files="$(texts_of "$name")"
    # Some crates leave the text to their repository: another crate of it may have it.
    if [ -z "$files" ]; then
        local other
        while read -r other; do
            files="$(texts_of "$other")"
            [ -z "$files" ] || break
        done < <(grep -F "|$2|$3" <<<"$crates" | cut -d '|' -f 1)
    fi
    # This project's own licence is the same text.
    if [ -z "$files" ] && [[ "$2" == *Apache-2.0* ]]; then
        files=LICENSE
    fi
    if [ -z "$files" ]; then
        printf 'error: %s has no text of its licence, %s\n' "$name" "$2" >&2
        exit 1
    fi
    local file sum
    while read -r file; do
        sum="$(sha256sum <"$file" | cut -c 1-16)"
        cp "$file" "$texts/$sum.text"
        printf '%s\n' "${name/ v/ }" >>"$texts/$sum.users"
    done <<<"$files"
}

# texts_of CRATE: the files of its package that hold licences, one a line.
texts_of() {
    find "$sources${1/ v/-}" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'copying*' \
        -o -iname 'copyright*' -o -iname 'notice*' -o -iname 'unlicense*' \) | sort
}

case "${1:-}" in
dependencies | program) "$1" ;;
root) root "${2:?a folder}" ;;
*)
    sed -n 's/^# \{0,1\}//p' "${BASH_SOURCE[0]}" | sed -n '3,8p' >&2
    exit 2
    ;;
esac

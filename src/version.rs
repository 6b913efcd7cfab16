//! Which build this is: the version of the crate, and the commit if the build was told of it.

/// The version, as in `Cargo.toml`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, from the variable `TOKEN_EXCHANGE_COMMIT` at build time; without it, or with an
/// empty one, nobody knows.
pub const COMMIT: Option<&str> = match option_env!("TOKEN_EXCHANGE_COMMIT") {
    Some(commit) if !commit.is_empty() => Some(commit),
    _ => None,
};

/// Both, as `--version` and the log tell them: `0.1.0 (1a2b3c4d)`.
#[must_use]
pub fn version() -> String {
    COMMIT.map_or_else(|| VERSION.to_owned(), |commit| format!("{VERSION} ({commit})"))
}

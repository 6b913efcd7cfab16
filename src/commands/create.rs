//! What all commands share that make something.

use super::{Error, print};
use crate::key_store::Description;

pub(super) fn description(flag: &str, text: &str) -> Result<Description, Error> {
    Description::parse(text).ok_or_else(|| too_long(flag))
}

/// Prints a key that exists by now and can never be shown again.
pub(super) fn show_once(text: &str) -> Result<(), Error> {
    print(text).map_err(|error| {
        format!(
            "the key was created but could not be printed ({error}); nobody knows it, make another"
        )
        .into()
    })
}

pub(super) fn too_long(flag: &str) -> Error {
    format!("{flag}: it is longer than {} bytes, which cannot be indexed", Description::MAX_BYTES)
        .into()
}

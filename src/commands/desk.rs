//! The operator's desk: an open store, the time, and who sits there.

use std::sync::Arc;

use jiff::{Timestamp, Unit};
use serde_json::Value;

use super::{Error, print};
use crate::config::Platform;
use crate::config::StoreFlags;
use crate::config::life::{ChangeFlags, OutputFormat};
use crate::key_life::{Author, Occasion};
use crate::key_store::{Cursor, KeyAdmin, Page, Unavailable};

/// What the record says where nobody says who they are.
const NOBODY: &str = "unknown";

pub(super) struct Desk {
    pub(super) store: Arc<dyn KeyAdmin>,
    /// In whole microseconds: the stores keep no more.
    pub(super) now: Timestamp,
    /// Not an emulator.
    pub(super) is_real: bool,
}

impl Desk {
    pub(super) fn open(flags: &StoreFlags, platform: &Platform) -> Result<Self, Error> {
        let store = flags.resolve(platform)?;
        let now = Timestamp::now().round(Unit::Microsecond)?;
        Ok(Self { is_real: !store.is_emulator(), store: store.open()?, now })
    }

    /// Who changes something, and when.
    pub(super) fn occasion(
        &self,
        flags: &ChangeFlags,
        platform: &Platform,
    ) -> Result<Occasion, Error> {
        let name = flags.by.as_deref().or(platform.user.as_deref()).unwrap_or(NOBODY);
        let by = Author::parse(name).ok_or_else(|| {
            format!(
                "--by: a name has 1 to {} bytes and no control characters",
                Author::MAX_NAME_BYTES
            )
        })?;
        Ok(Occasion { at: self.now, by })
    }
}

/// Takes all rows of a list, page by page.
pub(super) async fn each<T>(
    mut page: impl AsyncFnMut(Option<&Cursor>) -> Result<Page<T>, Unavailable>,
    mut take: impl FnMut(T),
) -> Result<(), Unavailable> {
    let mut after = None;
    loop {
        let Page { rows, next } = page(after.as_ref()).await?;
        rows.into_iter().for_each(&mut take);
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// All rows of a list that is known to be short.
pub(super) async fn all<T>(
    page: impl AsyncFnMut(Option<&Cursor>) -> Result<Page<T>, Unavailable>,
) -> Result<Vec<T>, Unavailable> {
    let mut all = Vec::new();
    each(page, |row| all.push(row)).await?;
    Ok(all)
}

/// Prints an answer in the form that was asked for.
pub(super) fn show(
    format: OutputFormat,
    json: impl FnOnce() -> Value,
    table: impl FnOnce() -> String,
) -> Result<(), Error> {
    let text = match format {
        OutputFormat::Table => table(),
        OutputFormat::Json => format!("{:#}\n", json()),
    };
    Ok(print(&text)?)
}

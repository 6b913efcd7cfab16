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
    /// When it was opened.
    pub(super) now: Timestamp,
    /// Not an emulator.
    pub(super) is_real: bool,
}

impl Desk {
    pub(super) fn open(flags: &StoreFlags, platform: &Platform) -> Result<Self, Error> {
        let store = flags.resolve(platform)?;
        Ok(Self { is_real: !store.is_emulator(), store: store.open()?, now: now()? })
    }

    /// Who changes something, and when, as it is planned: at the time by which the flags are read.
    pub(super) fn occasion(
        &self,
        flags: &ChangeFlags,
        platform: &Platform,
    ) -> Result<Occasion, Error> {
        Ok(Occasion { at: self.now, by: author(flags, platform)? })
    }

    /// The same at this very moment, for what is written after a person was asked: they take their
    /// time, and a receipt counts from when it was done.
    pub(super) fn occasion_of_writing(
        flags: &ChangeFlags,
        platform: &Platform,
    ) -> Result<Occasion, Error> {
        Ok(Occasion { at: now()?, by: author(flags, platform)? })
    }
}

fn author(flags: &ChangeFlags, platform: &Platform) -> Result<Author, Error> {
    let name = flags.by.as_deref().or(platform.user.as_deref()).unwrap_or(NOBODY);
    Author::parse(name).ok_or_else(|| {
        let most = Author::MAX_NAME_BYTES;
        format!("--by: a name has 1 to {most} bytes and no control characters").into()
    })
}

/// In whole microseconds: the stores keep no more.
fn now() -> Result<Timestamp, jiff::Error> {
    Timestamp::now().round(Unit::Microsecond)
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

//! `completions`: what a shell needs to complete the commands and their flags.

use super::{Error, print};
use crate::config::completions;
use crate::config::life::CompletionsFlags;

pub(super) fn run(flags: &CompletionsFlags) -> Result<(), Error> {
    Ok(print(&completions(flags.shell))?)
}

//! `signing-key`: makes, rotates and looks at the keys that sign tokens.
//!
//! When a key signs is decided by `signer`; here it is asked for and told.

mod check;
mod rotate;
mod time_line;
mod url;

use secrecy::ExposeSecret as _;

use super::{Done, Error, Outcome, complain, print};
use crate::config::{ExtractKeyFlags, GenerateKeyFlags, ShowKeysFlags, SigningKeyCommand};
use crate::environment::{Clock as _, System};
use crate::signer::key_edit::KeyDocument;
use crate::signer::{KeyFile, KeyRing, KeySet, generate};

pub(super) async fn run(command: SigningKeyCommand) -> Result<Done, Error> {
    match command {
        SigningKeyCommand::Generate(flags) => generate(&flags).map(|()| Done::All),
        SigningKeyCommand::Show(flags) => show(&flags).map(|()| Done::All),
        SigningKeyCommand::Rotate(flags) => rotate::run(&flags, System.now()),
        SigningKeyCommand::Check(flags) => check::run(&flags, System.now()).await,
        SigningKeyCommand::Extract(flags) => extract(&flags).map(|()| Done::All),
    }
}

fn generate(flags: &GenerateKeyFlags) -> Outcome {
    let (algorithm, size) = flags.key.resolve()?;
    let file = KeyFile::at(&flags.file);
    file.create(&generate::private_jwk(algorithm, size, flags.key.kid.as_deref())?)?;
    let keys = file.load()?;
    warn(&keys);
    let kid = keys.signing_at(System.now()).key.kid();
    Ok(print(&format!(
        "{}: a private key for {}, kid {kid}\n",
        flags.file.display(),
        algorithm.name()
    ))?)
}

fn show(flags: &ShowKeysFlags) -> Outcome {
    let keys = KeyRing::of(KeyFile::at(&flags.file).load()?);
    Ok(print(&String::from_utf8_lossy(&keys.at(System.now()).jwk_set().json()))?)
}

fn extract(flags: &ExtractKeyFlags) -> Outcome {
    let bare = KeyDocument::read(&KeyFile::at(&flags.file))?.extract(&flags.kid)?;
    Ok(print(bare.expose_secret())?)
}

/// Says on standard error what some verifiers will not take.
fn warn(keys: &KeySet) {
    for warning in keys.warnings() {
        complain(&format!("warning: {warning}\n"));
    }
}

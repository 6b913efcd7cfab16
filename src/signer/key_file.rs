//! The file that holds the signing keys: one private JWK, or a private JWK Set.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::key_set::{InvalidKeySet, KeySet};

/// The largest file that is read, in bytes: Secret Manager holds no larger secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where the signing keys are.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

/// Why there are no keys to be had from a file. Never holds a part of it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error("cannot read the private key file {path}: {source}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the private key file {path} is larger than {MAX_FILE_BYTES} bytes, so it is no key file",
        path = path.display()
    )]
    TooLarge { path: PathBuf },
    #[error("the private key file {path} cannot be used: {source}", path = path.display())]
    Invalid { path: PathBuf, source: InvalidKeySet },
}

impl KeyFile {
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file and tries each key: it signs, and what is published verifies it.
    ///
    /// Blocks: reading a mounted secret can be network I/O.
    ///
    /// # Errors
    /// When the file cannot be read or any key in it cannot be used.
    pub fn load(&self) -> Result<KeySet, KeyFileError> {
        let json = self.read()?;
        KeySet::parse(&json)
            .map_err(|source| KeyFileError::Invalid { path: self.path.clone(), source })
    }

    fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let path = || self.path.clone();
        let mut json = Zeroizing::new(Vec::with_capacity(8 * 1024));
        File::open(&self.path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut json))
            .map_err(|source| KeyFileError::Read { path: path(), source })?;
        if json.len() as u64 > MAX_FILE_BYTES {
            return Err(KeyFileError::TooLarge { path: path() });
        }
        Ok(json)
    }
}

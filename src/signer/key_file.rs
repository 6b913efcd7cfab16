//! The file that holds the signing keys: one private JWK, or a private JWK Set.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::key_set::{InvalidKeySet, KeySet};

/// The largest file that is read, in bytes: Secret Manager holds no larger secret.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where the signing keys are.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
}

/// What cannot be done with a key file, and why. Never holds a part of it.
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
    #[error("cannot write the private key file {path}: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(
        "{path} is there already: somebody else is changing the key file at this moment, or was \
         interrupted; in the latter case remove it",
        path = path.display()
    )]
    BeingChanged { path: PathBuf },
    #[error("{path} was changed by somebody else meanwhile; look at it, and try again", path = path.display())]
    Changed { path: PathBuf },
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
        KeySet::parse(&self.read()?).map_err(|source| self.invalid(source))
    }

    /// Reads the whole file. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is too large for a key file.
    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
        let path = || self.path.clone();
        // As long as it can get: what a vector leaves behind when it grows is not wiped.
        let longest = usize::try_from(MAX_FILE_BYTES + 1).unwrap_or_default();
        let mut json = Zeroizing::new(Vec::with_capacity(longest));
        File::open(&self.path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut json))
            .map_err(|source| KeyFileError::Read { path: path(), source })?;
        if json.len() as u64 > MAX_FILE_BYTES {
            return Err(KeyFileError::TooLarge { path: path() });
        }
        Ok(json)
    }

    /// Writes a file that only its owner can read, and never over another file.
    ///
    /// # Errors
    /// When there is such a file already, or it cannot be written.
    pub fn create(&self, json: &SecretString) -> Result<(), KeyFileError> {
        let written = private_file(&self.path).and_then(|file| {
            write_through(file, json).inspect_err(|_| drop(std::fs::remove_file(&self.path)))
        });
        written.map_err(|source| self.not_written(source))
    }

    /// Puts other keys in place of those that were `read`, all at once: whoever reads the file
    /// meanwhile finds the old one or the new one. Mode and owner stay.
    ///
    /// # Errors
    /// When it is no longer what was read, or cannot be written; then the old file is untouched.
    pub fn replace(&self, json: &SecretString, read: &[u8]) -> Result<(), KeyFileError> {
        // A link stays one: what it points to is replaced.
        let path = std::fs::canonicalize(&self.path).map_err(|error| self.not_written(error))?;
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = path.with_file_name(name);
        let file = private_file(&beside).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::BeingChanged { path: beside.clone() },
            _ => self.not_written(error),
        })?;
        // Nobody else gets past the line above, so what is compared here stays as it is.
        let stands = self.read().inspect_err(|_| drop(std::fs::remove_file(&beside)))?;
        if stands.as_slice() != read {
            drop(std::fs::remove_file(&beside));
            return Err(KeyFileError::Changed { path: self.path.clone() });
        }
        like(&path, &file)
            .and_then(|()| write_through(file, json))
            .and_then(|()| std::fs::rename(&beside, &path))
            .inspect_err(|_| drop(std::fs::remove_file(&beside)))
            .and_then(|()| File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all())
            .map_err(|error| self.not_written(error))
    }

    pub(super) fn invalid(&self, source: InvalidKeySet) -> KeyFileError {
        KeyFileError::Invalid { path: self.path.clone(), source }
    }

    fn not_written(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Write { path: self.path.clone(), source }
    }
}

fn private_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write_through(mut file: File, json: &SecretString) -> io::Result<()> {
    file.write_all(json.expose_secret().as_bytes())?;
    file.sync_all()
}

fn like(model: &Path, file: &File) -> io::Result<()> {
    let (model, own) = (std::fs::metadata(model)?, file.metadata()?);
    if (model.uid(), model.gid()) != (own.uid(), own.gid()) {
        fchown(file, Some(model.uid()), Some(model.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(model.mode() & 0o7777))
}

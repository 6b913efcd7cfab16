//! `dev`: everything in one folder, to try the service with nothing but this program.
//!
//! What is there is used again; keys made here work with this folder only.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Unit};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::serve::{Listeners, Service, Signals, bind, cannot_listen};
use super::{Error, print};
use crate::api_key::{
    IntegrationApiKey, IntegrationId, KeyId, OrganizationApiKey, OrganizationName,
};
use crate::config::{KeyStoreChoice, Platform, ServeFlags, StoreConfig};
use crate::environment::System;
use crate::http::server::{ListenAddress, Listener};
use crate::key_store::{
    Answer, Description, KeyAdmin, KeyStore, NewIntegration, NewIntegrationKey, NewOrganization,
    NewOrganizationKey, Recency, WriteError,
};
use crate::signer::generate;
use crate::telemetry::logs;

const FOLDER: &str = ".token-exchange";
const DEMO: &str = "demo";

pub(super) async fn run(mut flags: ServeFlags, platform: &Platform) -> Result<(), Error> {
    if platform.is_cloud_run {
        return Err("dev is for trying things out; it does not run on Cloud Run \
                    (K_SERVICE is set): deploy `token-exchange serve`"
            .into());
    }
    if flags.store.key_store.is_some() {
        // Demo keys in a store that people rely on would be keys that anybody can have.
        return Err(
            "dev has a store of its own; leave -key-store (KEY_STORE) out, or use `serve`".into()
        );
    }
    let log = logs::start(flags.log(platform)?)?;
    let signals = Signals::of_a_terminal()?;
    let folder = Folder::open(Path::new(FOLDER))?;
    let chosen = Chosen { port: flags.port.is_some(), metrics: flags.metrics_address.is_some() };
    let signing_key = folder.path.join("signing-key.jwk").to_string_lossy().into_owned();
    flags.private_key_path.get_or_insert(signing_key);
    flags.store.key_store = Some(KeyStoreChoice::Sqlite(folder.path.join("keys.db")));
    let config = flags.resolve(platform)?;

    folder.signing_key(config.key_file.path())?;
    let keys = folder.demo_keys(&config.store).await?;
    drop(folder);
    let service = Service::prepare(&config)?;
    let (listener, moved) = listen(&config.address, chosen.port)?;
    let (metrics, _) = listen(&config.metrics_address, chosen.metrics)?;
    let listeners = Listeners { service: listener, metrics };
    print(&page(&listeners, &config.address, moved, &keys)?)?;
    service.run(listeners, signals, &log).await
}

/// Which addresses somebody asked for.
struct Chosen {
    port: bool,
    metrics: bool,
}

/// The address, or a free port in place of the usual one where that is taken. Tells whether it is.
fn listen(address: &ListenAddress, is_chosen: bool) -> Result<(Listener, bool), String> {
    match Listener::bind(address) {
        Ok(listener) => Ok((listener, false)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !is_chosen => {
            Ok((bind(&ListenAddress::all_interfaces(0))?, true))
        }
        Err(error) => Err(cannot_listen(address, &error)),
    }
}

/// What the folder remembers of the demo keys: the store holds only their hashes.
#[derive(Serialize, Deserialize)]
struct DemoKeys {
    integration: String,
    organization: String,
}

/// The folder, for as long as it is looked through: another `dev` waits meanwhile.
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    fn open(path: &Path) -> Result<Self, Error> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(format!("cannot make the folder {}: {error}", path.display()).into());
            }
            _ => {}
        }
        // So that nobody checks it in; and something to lock.
        let ignore = path.join(".gitignore");
        std::fs::write(&ignore, "*\n")
            .and_then(|()| File::open(&ignore))
            .and_then(|file| file.lock().map(|()| Self { path: path.to_owned(), _lock: file }))
            .map_err(|error| format!("cannot write to {}: {error}", path.display()).into())
    }

    /// Makes the signing key where this folder has none.
    fn signing_key(&self, path: &Path) -> Result<(), Error> {
        if path.exists() || !path.starts_with(&self.path) {
            return Ok(());
        }
        write_private(path, generate::rs256()?.expose_secret())
    }

    /// The demo keys; made and stored where the folder has none, or those of another store.
    async fn demo_keys(&self, store: &StoreConfig) -> Result<DemoKeys, Error> {
        let path = self.path.join("demo-keys.json");
        let store = store.open()?;
        match std::fs::read(&path) {
            Ok(json) => {
                let keys: DemoKeys = serde_json::from_slice(&json).map_err(|_| {
                    format!("{} is damaged; remove the folder {FOLDER}", path.display())
                })?;
                if keys.are_in(&*store).await? {
                    return Ok(keys);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("cannot read {}: {error}", path.display()).into()),
        }
        let keys = create_demo_keys(&*store).await?;
        write_private(&path, &serde_json::to_string_pretty(&keys)?)?;
        Ok(keys)
    }
}

impl DemoKeys {
    async fn are_in(&self, store: &dyn KeyStore) -> Result<bool, Error> {
        let key = IntegrationApiKey::parse(&SecretString::from(self.integration.as_str()))?;
        let organization =
            OrganizationApiKey::parse(SecretString::from(self.organization.as_str()))?;
        let (id, key_id) = (key.integration_id(), key.key_id());
        let record = store.integration_key(id, key_id, Recency::Current).await?.answer;
        let holder = store.organization_key(&organization, Recency::Current).await?.answer;
        Ok(matches!(record, Answer::Found(record) if record.secret_hash == Some(key.secret_hash()))
            && matches!(holder, Answer::Found(_)))
    }
}

async fn create_demo_keys(store: &dyn KeyAdmin) -> Result<DemoKeys, Error> {
    let now = Timestamp::now().round(Unit::Microsecond)?;
    let id = IntegrationId::parse(DEMO)?;
    let key = IntegrationApiKey::generate(id.clone(), KeyId::generate(&System)?, &System)?;
    let about = Description::parse("made by dev").unwrap_or_default();
    let record = NewIntegrationKey::of(&key, about, 0, now);
    let integration = NewIntegration { id, description: Description::default(), created_at: now };
    match store.create_integration(&integration, &record).await {
        Err(WriteError::Exists(_)) => store.create_integration_key(&record).await?,
        outcome => outcome?,
    }
    let name = OrganizationName::parse(DEMO)?;
    let organization = NewOrganization {
        name: name.clone(),
        email: String::new(),
        probability_multiplier: 1.0,
        created_at: now,
    };
    match store.create_organization(&organization).await {
        Ok(()) | Err(WriteError::Exists(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let organization_key = NewOrganizationKey {
        organization: name,
        key: OrganizationApiKey::generate(&System)?,
        created_at: now,
    };
    store.create_organization_key(&organization_key).await?;
    Ok(DemoKeys {
        integration: key.reveal().expose_secret().to_owned(),
        organization: organization_key.key.reveal().expose_secret().to_owned(),
    })
}

/// Writes a file that only its owner can read: all of it, or none.
fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let unfinished = path.with_extension("unfinished");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}

/// What to know and what to paste.
fn page(
    listeners: &Listeners,
    wanted: &ListenAddress,
    moved: bool,
    keys: &DemoKeys,
) -> io::Result<String> {
    let port = listeners.service.local_addr()?.port();
    let metrics_port = listeners.metrics.local_addr()?.port();
    let url = format!("http://localhost:{port}");
    let moved = if moved { format!("   (port {} is taken)", wanted.port()) } else { String::new() };
    let DemoKeys { integration, organization } = keys;
    Ok(format!(
        r#"
  token-exchange dev

  Service   {url}{moved}
  Key set   {url}/.well-known/jwks.json
  Metrics   http://localhost:{metrics_port}/metrics
  Folder    {FOLDER}   (remove it to begin anew)

  Two demo keys; they work with this folder only.

  Integration "{DEMO}", tokens of 20 seconds:

curl -s {url}/v0/token/integration \
  -d '{{"api_key":"{integration}"}}'

  Organization "{DEMO}", tokens of one hour:

curl -s {url}/v0/token/autojoin \
  -d '{{"api_key":"{organization}"}}'

  The keys that verify them:

curl -s {url}/.well-known/jwks.json

  Stop with Ctrl-C.

"#
    ))
}

//! `integration-key list|show|create|generate|import`; what changes a key that is there is in
//! `integration_key/change.rs`.

mod change;

use std::collections::HashMap;
use std::io::Read as _;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

pub(super) use self::change::{end_in_words, ending};
use super::consent::{Consent, go_on};
use super::create::show_once;
use super::desk::{Desk, all, each, show};
use super::integration::integration_id;
use super::table::{Table, facts, paragraph, time};
use super::view::{age, integration_key_json, integration_key_text, time_json, words};
use super::{Done, Error, complain, print};
use crate::api_key::{ImportLine, IntegrationApiKey, KeyId};
use crate::config::Platform;
use crate::config::life::{
    IntegrationKeyCommand, IntegrationKeyCreateFlags, IntegrationKeyGenerateFlags,
    IntegrationKeyImportFlags, IntegrationKeyListFlags, IntegrationKeyShowFlags,
    NamedIntegrationKey, OutputFormat, ValidityFlags,
};
use crate::environment::System;
use crate::key_life::{self, Remark, State, Terms};
use crate::key_store::{IntegrationKeyRow, NewIntegrationKey, Validity};

/// The longest line of a recipient is 200 bytes; what is longer is something else.
const MAX_LINE_BYTES: u64 = 4096;

pub(super) async fn run(
    command: &IntegrationKeyCommand,
    platform: &Platform,
) -> Result<Done, Error> {
    match command {
        IntegrationKeyCommand::List(flags) => list(flags, platform).await,
        IntegrationKeyCommand::Show(flags) => show_one(flags, platform).await,
        IntegrationKeyCommand::Create(flags) => create(flags, platform).await,
        IntegrationKeyCommand::Generate(flags) => generate(flags),
        IntegrationKeyCommand::Import(flags) => import(flags, platform).await,
        IntegrationKeyCommand::Roll(flags) => change::roll(flags, platform).await,
        IntegrationKeyCommand::Revoke(flags) => change::revoke(flags, platform).await,
        IntegrationKeyCommand::Expire(flags) => change::expire(flags, platform).await,
    }
}

/// The columns of a list of keys.
pub(super) fn headings() -> [&'static str; 5] {
    ["key id", "state", "tier", "age", "replaced by"]
}

pub(super) fn row_cells(row: &IntegrationKeyRow, state: &State, now: Timestamp) -> [String; 5] {
    let successor = row.facts_in_force().and_then(|facts| facts.replaced_by.clone());
    [
        row.key_id.clone(),
        words(state, now),
        row.tier.to_string(),
        age(row.created_at, now),
        successor.unwrap_or_default(),
    ]
}

async fn list(flags: &IntegrationKeyListFlags, platform: &Platform) -> Result<Done, Error> {
    let of = flags.integration_id.as_deref().map(integration_id).transpose()?;
    let desk = Desk::open(&flags.read.store, platform)?;
    let mut integrations = HashMap::new();
    match &of {
        Some(id) => {
            let found = desk.store.read_integration(id).await?;
            integrations.extend(found.map(|row| (row.id, row.description)));
        }
        None => {
            each(
                async |after| desk.store.list_integrations(after).await,
                |row| drop(integrations.insert(row.id, row.description)),
            )
            .await?;
        }
    }
    let keys =
        all(async |after| desk.store.list_integration_keys(of.as_ref(), after).await).await?;
    if let Some(id) = &of
        && keys.is_empty()
        && integrations.is_empty()
    {
        return Err(format!("there is no integration {id}").into());
    }
    let state = |row: &IntegrationKeyRow| {
        State::of_integration_key(row, integrations.contains_key(&row.integration_id), desk.now)
    };
    show(
        flags.read.output,
        || keys.iter().map(|row| integration_key_json(row, &state(row))).collect(),
        || {
            let groups = keys.chunk_by(|one, other| one.integration_id == other.integration_id);
            let groups = groups.map(|keys| {
                let id = &keys[0].integration_id;
                let about = integrations.get(id).map_or("(missing)", String::as_str);
                let mut table = Table::new(headings());
                for row in keys {
                    table.row(row_cells(row, &state(row), desk.now));
                }
                let heading = paragraph("", &format!("{id}  {about}"));
                format!("{}\n{}", heading.trim_end(), table.render())
            });
            groups.collect::<Vec<_>>().join("\n")
        },
    )?;
    Ok(Done::All)
}

async fn show_one(flags: &IntegrationKeyShowFlags, platform: &Platform) -> Result<Done, Error> {
    let desk = Desk::open(&flags.read.store, platform)?;
    let row = read(&desk, &flags.key).await?;
    let id = integration_id(&row.integration_id)?;
    let has_parent = desk.store.read_integration(&id).await?.is_some();
    let state = State::of_integration_key(&row, has_parent, desk.now);
    show(
        flags.read.output,
        || integration_key_json(&row, &state),
        || integration_key_text(&row, &state, desk.now),
    )?;
    Ok(Done::All)
}

async fn create(flags: &IntegrationKeyCreateFlags, platform: &Platform) -> Result<Done, Error> {
    let key = fresh_key(&flags.integration_id, flags.key_id.as_deref())?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let about = super::create::description("--description", &flags.description)?;
    let record = NewIntegrationKey::of(&key, about, flags.tier, desk.now);
    let terms = terms(&flags.validity, desk.now)?;
    let on = desk.occasion(&flags.change, platform)?;
    let integration = desk.store.read_integration(key.integration_id()).await?;
    let planned = key_life::create_integration_key(integration.as_ref(), &record, &terms, &on)?;
    let will = format!("create key {} of integration {}", record.key_id, record.integration_id);
    if go_on(&flags.change, &[will]) == Consent::DryRun {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    remind_of_expiry(planned.ends_at);
    let shown = Created {
        record: &record,
        validity: planned.new_key,
        api_key: Some(key.reveal()),
        replaces: None,
    };
    show_once(&shown.render(flags.change.read.output, desk.now))?;
    Ok(Done::All)
}

/// Needs no store and no credentials: it is run where the key will be used.
fn generate(flags: &IntegrationKeyGenerateFlags) -> Result<Done, Error> {
    let key = fresh_key(&flags.integration_id, flags.key_id.as_deref())?;
    complain(
        "The first line is the API key: keep it here, it is shown once and nobody else has it.\n\
         The second line is for the operator: it holds nothing secret.\n",
    );
    print(&format!("{}\n{}\n", key.reveal().expose_secret(), key.import_line()))?;
    Ok(Done::All)
}

async fn import(flags: &IntegrationKeyImportFlags, platform: &Platform) -> Result<Done, Error> {
    let line = recipient_line(&flags.line)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let about = super::create::description("--description", &flags.description)?;
    let record = NewIntegrationKey::imported(&line, about, flags.tier, desk.now);
    let terms = terms(&flags.validity, desk.now)?;
    let on = desk.occasion(&flags.change, platform)?;
    let integration = desk.store.read_integration(&record.integration_id).await?;
    let planned = key_life::create_integration_key(integration.as_ref(), &record, &terms, &on)?;
    let will = format!("import key {} of integration {}", record.key_id, record.integration_id);
    if go_on(&flags.change, &[will]) == Consent::DryRun {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    remind_of_expiry(planned.ends_at);
    let shown =
        Created { record: &record, validity: planned.new_key, api_key: None, replaces: None };
    print(&shown.render(flags.change.read.output, desk.now))?;
    Ok(Done::All)
}

fn fresh_key(id: &str, key_id: Option<&str>) -> Result<IntegrationApiKey, Error> {
    let id = integration_id(id)?;
    let key_id = match key_id {
        Some(key_id) => KeyId::parse(key_id).map_err(|reason| format!("--key-id: {reason}"))?,
        None => KeyId::generate(&System)?,
    };
    Ok(IntegrationApiKey::generate(id, key_id, &System)?)
}

/// The key that the flags name; there has to be one.
async fn read(desk: &Desk, named: &NamedIntegrationKey) -> Result<IntegrationKeyRow, Error> {
    let id = integration_id(&named.integration_id)?;
    let key_id = KeyId::parse(&named.key_id).map_err(|reason| format!("--key-id: {reason}"))?;
    let found = desk.store.read_integration_key(&id, &key_id).await?;
    found.ok_or_else(|| format!("integration {id} has no key {key_id}").into())
}

/// A recipient's line as it was said, or from standard input for `-`.
fn recipient_line(said: &str) -> Result<ImportLine, Error> {
    let mut line = said.to_owned();
    if said == "-" {
        line.clear();
        std::io::stdin().lock().take(MAX_LINE_BYTES).read_to_string(&mut line)?;
    }
    line.trim_end_matches(['\r', '\n'])
        .parse()
        .map_err(|reason| format!("the line of the recipient: {reason}").into())
}

pub(super) fn terms(flags: &ValidityFlags, now: Timestamp) -> Result<Terms, Error> {
    let from_now = |flag, when: Option<crate::config::when::When>| {
        when.map(|when| when.from(now)).transpose().map_err(|reason| format!("{flag}: {reason}"))
    };
    Ok(Terms {
        not_before: from_now("--not-before", flags.not_before)?,
        expires_at: from_now("--expires", flags.expires)?,
        note: flags.note.as_deref().map(|note| remark("--note", note)).transpose()?,
    })
}

pub(super) fn remark(flag: &str, text: &str) -> Result<Remark, Error> {
    Remark::parse(text)
        .ok_or_else(|| format!("{flag}: it has to have 1 to {} bytes", Remark::MAX_BYTES).into())
}

/// A key whose end is ours alone goes on elsewhere, and nobody should find that out by accident.
pub(super) fn remind_of_expiry(ends_at: Option<Timestamp>) {
    if ends_at.is_some() {
        complain(&paragraph(
            "note: ",
            "only this service knows of an expiry. The Go service, and autojoin's own server, go \
             on accepting the key until `doctor --fix` ends it there too, or it is revoked.",
        ));
    }
}

/// A key that was just made; the API key itself only where it is known.
struct Created<'a> {
    record: &'a NewIntegrationKey,
    validity: Validity,
    api_key: Option<SecretString>,
    /// The key that it was made in place of, and when that one ends.
    replaces: Option<(&'a str, Timestamp)>,
}

impl Created<'_> {
    fn render(&self, format: OutputFormat, now: Timestamp) -> String {
        let Self { record, validity, api_key, replaces } = self;
        let api_key = api_key.as_ref().map(ExposeSecret::expose_secret);
        if format == OutputFormat::Json {
            let mut shown = json!({
                "integration_id": record.integration_id.as_str(),
                "key_id": record.key_id.as_str(),
                "tier": record.tier,
                "description": record.description.as_str(),
                "created_at": record.created_at.to_string(),
                "not_before": time_json(validity.not_before),
                "expires_at": time_json(validity.expires_at),
            });
            if let Some((predecessor, ends_at)) = replaces {
                shown["replaces"] = (*predecessor).into();
                shown["predecessor_ends_at"] = ends_at.to_string().into();
            }
            if let Some(api_key) = api_key {
                shown["api_key"] = api_key.into();
            }
            return format!("{shown:#}\n");
        }
        let mut lines = vec![
            ("integration id", record.integration_id.to_string()),
            ("key id", record.key_id.to_string()),
            ("tier", record.tier.to_string()),
            ("created", time(record.created_at, now)),
        ];
        lines.extend(validity.not_before.map(|at| ("not before", time(at, now))));
        lines.extend(validity.expires_at.map(|at| ("expires", time(at, now))));
        if let Some((predecessor, ends_at)) = replaces {
            lines.push(("replaces", (*predecessor).to_owned()));
            lines.push(("which ends", time(*ends_at, now)));
        }
        let shown = facts(lines);
        // Never broken into lines: it is copied whole.
        let last = api_key.map(|api_key| format!("api key         {api_key}\n"));
        shown + &last.unwrap_or_default()
    }
}

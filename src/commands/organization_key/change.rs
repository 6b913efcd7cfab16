//! `organization-key roll|revoke|expire`: what changes or ends a key that is there.

use serde_json::json;

use super::created;
use crate::api_key::OrganizationApiKey;
use crate::commands::consent::{Consent, ask};
use crate::commands::create::show_once;
use crate::commands::desk::{Desk, all, each, show};
use crate::commands::integration_key::{end_in_words, ending, remark, remind_of_expiry};
use crate::commands::organization::organization_name;
use crate::commands::receipt::receipt;
use crate::commands::table::{facts, paragraph, time};
use crate::commands::{Done, Error, complain};
use crate::config::Platform;
use crate::config::life::{
    NamedOrganizationKey, OrganizationKeyExpireFlags, OrganizationKeyRevokeFlags,
    OrganizationKeyRollFlags,
};
use crate::environment::System;
use crate::exchange::Autojoin;
use crate::key_life::{self, Ending, Terms};
use crate::key_store::{
    NewOrganizationKey, OrganizationKeyFactsRow, OrganizationKeyRow, OrganizationKeysOf,
};

pub(super) async fn roll(
    flags: &OrganizationKeyRollFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let on = desk.occasion(&flags.change, platform)?;
    let ending = ending(&flags.overlap, desk.now)?;
    let expires_at = flags.expires.map(|when| when.from(desk.now)).transpose();
    let terms = Terms {
        expires_at: expires_at.map_err(|reason| format!("--expires: {reason}"))?,
        ..Terms::default()
    };
    let rows = read(&desk, &flags.key).await?.ok_or_else(|| no_such_key(&flags.key))?;
    let mut successor = NewOrganizationKey {
        organization: organization_name(&flags.key.organization)?,
        key: OrganizationApiKey::generate(&System)?,
        created_at: desk.now,
    };
    let planned = key_life::roll_organization_key(&rows, &successor, &terms, ending, &on)?;
    let old = end_in_words(&name_of(&rows), ending, planned.ends_at, desk.now);
    let will = [format!("create a key of organization {}", successor.organization), old];
    if ask(&flags.change, &will)? == Consent::DryRun {
        return Ok(Done::Found);
    }
    let on = Desk::occasion_of_writing(&flags.change, platform)?;
    successor.created_at = on.at;
    let planned = key_life::roll_organization_key(&rows, &successor, &terms, ending, &on)?;
    desk.store.commit(&planned.change).await?;
    if ending != Ending::Now || terms.expires_at.is_some() {
        remind_of_expiry(planned.ends_at);
    }
    let replaces = planned.ends_at.map(|end| (rows[0].key_hash, end));
    show_once(&created(&successor, planned.new_key, replaces, flags.change.read.output, on.at))?;
    Ok(Done::All)
}

pub(super) async fn revoke(
    flags: &OrganizationKeyRevokeFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let reason = remark("--reason", &flags.reason)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let Some(rows) = read(&desk, &flags.key).await? else {
        return revoked_already(&desk, flags).await;
    };
    let holders: Vec<_> = rows.iter().map(|row| row.organization.as_str()).collect();
    let will = format!(
        "delete key {} of organization {}, here and in autojoin, at once and for good; its facts \
         stay",
        rows[0].key_hash.fingerprint(),
        holders.join(" and of ")
    );
    if ask(&flags.change, &[will])? == Consent::DryRun {
        return Ok(Done::Found);
    }
    let on = Desk::occasion_of_writing(&flags.change, platform)?;
    let planned = key_life::revoke_organization_key(&rows, &reason, &on)?;
    desk.store.commit(&planned.change).await?;
    let fingerprint = rows[0].key_hash.to_hex();
    let named = [
        ("organization", flags.key.organization.as_str()),
        ("fingerprint", fingerprint.as_str()),
        ("reason", flags.reason.as_str()),
    ];
    receipt::<Autojoin>(flags.change.read.output, &named, on.at)?;
    Ok(Done::All)
}

/// The record of a revoked key is gone: the facts alone remember it, and not whose it was. So the
/// operator is told which key it is: a short beginning may be that of somebody else's.
async fn revoked_already(desk: &Desk, flags: &OrganizationKeyRevokeFlags) -> Result<Done, Error> {
    let mut found: Vec<OrganizationKeyFactsRow> = Vec::new();
    each(
        async |after| desk.store.list_organization_key_facts(after).await,
        |row: OrganizationKeyFactsRow| {
            if row.key_hash.starts_with(&flags.key.fingerprint) {
                found.push(row);
            }
        },
    )
    .await?;
    let [row] = &found[..] else { return Err(no_such_key(&flags.key)) };
    let revoked = row.facts.readable().and_then(|stored| stored.facts.revoked.as_ref());
    let revoked = revoked.ok_or_else(|| no_such_key(&flags.key))?;
    complain(&paragraph(
        "",
        &format!(
            "organization {} has no such key. Key {}, of whatever organization, is revoked already; \
             nothing was changed.",
            flags.key.organization,
            row.key_hash.chars().take(super::SHOWN_DIGITS).collect::<String>()
        ),
    ));
    let named = [("fingerprint", row.key_hash.as_str()), ("reason", revoked.reason.as_str())];
    receipt::<Autojoin>(flags.change.read.output, &named, revoked.at)?;
    Ok(Done::All)
}

pub(super) async fn expire(
    flags: &OrganizationKeyExpireFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let on = desk.occasion(&flags.change, platform)?;
    let at = flags.at.from(desk.now).map_err(|reason| format!("--at: {reason}"))?;
    let rows = read(&desk, &flags.key).await?.ok_or_else(|| no_such_key(&flags.key))?;
    let planned = key_life::expire_organization_key(&rows, at, &on)?;
    let ends_at = planned.ends_at.unwrap_or(at);
    let will = format!("let {} expire at {}", name_of(&rows), time(ends_at, desk.now));
    if ask(&flags.change, &[will])? == Consent::DryRun {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    remind_of_expiry(Some(ends_at));
    let fingerprint = rows[0].key_hash;
    show(
        flags.change.read.output,
        || {
            json!({
                "organization": flags.key.organization,
                "fingerprint": fingerprint.to_hex(),
                "expires_at": ends_at.to_string(),
            })
        },
        || {
            facts([
                ("organization", flags.key.organization.clone()),
                ("fingerprint", fingerprint.fingerprint()),
                ("expires", time(ends_at, desk.now)),
            ])
        },
    )?;
    Ok(Done::All)
}

/// All records of the credential that the flags name: other organizations may hold it too. Never
/// empty.
async fn read(
    desk: &Desk,
    named: &NamedOrganizationKey,
) -> Result<Option<Vec<OrganizationKeyRow>>, Error> {
    let is_hex = named.fingerprint.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if named.fingerprint.is_empty() || !is_hex {
        return Err("--fingerprint: hex digits in lower case, as `list` prints them".into());
    }
    let name = organization_name(&named.organization)?;
    let of = OrganizationKeysOf::Organization(&name);
    let mut found: Vec<OrganizationKeyRow> = Vec::new();
    each(
        async |after| desk.store.list_organization_keys(of, after).await,
        |row: OrganizationKeyRow| {
            if row.key_hash.to_hex().starts_with(&named.fingerprint) {
                found.push(row);
            }
        },
    )
    .await?;
    match &found[..] {
        [] => Ok(None),
        [row] => {
            let of = OrganizationKeysOf::Credential(row);
            let rows =
                all(async |after| desk.store.list_organization_keys(of, after).await).await?;
            Ok(Some(if rows.is_empty() { found } else { rows }))
        }
        _ => Err(format!(
            "{} keys of organization {name} begin with {}: say more digits",
            found.len(),
            named.fingerprint
        )
        .into()),
    }
}

fn name_of(rows: &[OrganizationKeyRow]) -> String {
    let row = &rows[0];
    format!("key {} of organization {}", row.key_hash.fingerprint(), row.organization)
}

fn no_such_key(named: &NamedOrganizationKey) -> Error {
    format!("organization {} has no key {}", named.organization, named.fingerprint).into()
}

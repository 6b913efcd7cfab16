//! `integration-key roll|revoke|expire`: what changes or ends a key that is there.

use jiff::Timestamp;
use serde_json::json;

use super::{Created, fresh_key, read, recipient_line, remark, remind_of_expiry};
use crate::api_key::{ImportLine, IntegrationApiKey};
use crate::commands::consent::{Consent, ask};
use crate::commands::create::show_once;
use crate::commands::desk::{Desk, show};
use crate::commands::receipt::receipt;
use crate::commands::table::{facts, paragraph, time, whole_seconds};
use crate::commands::{Done, Error, complain};
use crate::config::Platform;
use crate::config::life::{
    IntegrationKeyExpireFlags, IntegrationKeyRevokeFlags, IntegrationKeyRollFlags, OverlapFlags,
};
use crate::exchange::Integration;
use crate::key_life::{self, Ending, IntegrationKeySuccessor, Occasion, Terms};
use crate::key_store::{Description, NewIntegrationKey};

pub(super) async fn roll(
    flags: &IntegrationKeyRollFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let (key, line) = successor(flags)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let on = desk.occasion(&flags.change, platform)?;
    let ending = ending(&flags.overlap, desk.now)?;
    let expires_at = flags.expires.map(|when| when.from(desk.now)).transpose();
    let terms = Terms {
        expires_at: expires_at.map_err(|reason| format!("--expires: {reason}"))?,
        ..Terms::default()
    };
    let row = read(&desk, &flags.key).await?;
    let new =
        IntegrationKeySuccessor { key_id: line.key_id().clone(), secret_hash: line.secret_hash() };
    let plan = |on: &Occasion| key_life::roll_integration_key(&row, &new, &terms, ending, on);
    let planned = plan(&on)?;
    let old = format!("key {} of integration {}", row.key_id, row.integration_id);
    let will = [
        format!("create key {} with the same tier and description", line.key_id()),
        end_in_words(&old, ending, planned.ends_at, desk.now),
    ];
    if ask(&flags.change, &will)? == Consent::DryRun {
        return Ok(Done::Found);
    }
    let on = Desk::occasion_of_writing(&flags.change, platform)?;
    let planned = plan(&on)?;
    desk.store.commit(&planned.change).await?;
    if ending != Ending::Now || terms.expires_at.is_some() {
        remind_of_expiry(planned.ends_at);
    }
    let description = Description::parse(&row.description).unwrap_or_default();
    let record = NewIntegrationKey::imported(&line, description, row.tier, on.at);
    let shown = Created {
        record: &record,
        validity: planned.new_key,
        api_key: key.as_ref().map(IntegrationApiKey::reveal),
        replaces: planned.ends_at.map(|end| (row.key_id.as_str(), end)),
    };
    show_once(&shown.render(flags.change.read.output, on.at))?;
    Ok(Done::All)
}

pub(super) async fn revoke(
    flags: &IntegrationKeyRevokeFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let reason = remark("--reason", &flags.reason)?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let on = desk.occasion(&flags.change, platform)?;
    let row = read(&desk, &flags.key).await?;
    let plan = |on: &Occasion| key_life::revoke_integration_key(&row, &reason, on);
    let planned = plan(&on);
    let name = format!("key {} of integration {}", row.key_id, row.integration_id);
    let mut revoked_at = planned.ends_at.unwrap_or(on.at);
    if planned.change.writes().is_empty() {
        complain(&paragraph("", &format!("{name} is revoked already; nothing was changed.")));
    } else {
        let will = format!("revoke {name}, here and in the Go service, at once and for good");
        if ask(&flags.change, &[will])? == Consent::DryRun {
            return Ok(Done::Found);
        }
        // Where the record alone is written, the facts are older: the receipt counts from now.
        let on = Desk::occasion_of_writing(&flags.change, platform)?;
        revoked_at = on.at;
        desk.store.commit(&plan(&on).change).await?;
    }
    let known = row.facts_in_force().and_then(|facts| facts.revoked.clone());
    let reason = known.map_or(flags.reason.clone(), |revoked| revoked.reason);
    let named = [
        ("integration_id", row.integration_id.as_str()),
        ("key_id", row.key_id.as_str()),
        ("reason", reason.as_str()),
    ];
    receipt::<Integration>(flags.change.read.output, &named, revoked_at)?;
    Ok(Done::All)
}

pub(super) async fn expire(
    flags: &IntegrationKeyExpireFlags,
    platform: &Platform,
) -> Result<Done, Error> {
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let on = desk.occasion(&flags.change, platform)?;
    let at = flags.at.from(desk.now).map_err(|reason| format!("--at: {reason}"))?;
    let row = read(&desk, &flags.key).await?;
    let planned = key_life::expire_integration_key(&row, at, &on)?;
    let ends_at = planned.ends_at.unwrap_or(at);
    let will = format!(
        "let key {} of integration {} expire at {}",
        row.key_id,
        row.integration_id,
        time(ends_at, desk.now)
    );
    if ask(&flags.change, &[will])? == Consent::DryRun {
        return Ok(Done::Found);
    }
    desk.store.commit(&planned.change).await?;
    remind_of_expiry(Some(ends_at));
    show(
        flags.change.read.output,
        || {
            json!({
                "integration_id": row.integration_id,
                "key_id": row.key_id,
                "expires_at": ends_at.to_string(),
            })
        },
        || {
            facts([
                ("integration id", row.integration_id.clone()),
                ("key id", row.key_id.clone()),
                ("expires", time(ends_at, desk.now)),
            ])
        },
    )?;
    Ok(Done::All)
}

/// The key that is made here, or the line of one that its recipient made.
fn successor(
    flags: &IntegrationKeyRollFlags,
) -> Result<(Option<IntegrationApiKey>, ImportLine), Error> {
    let Some(said) = &flags.import else {
        let key = fresh_key(&flags.key.integration_id, None)?;
        let line = key.import_line();
        return Ok((Some(key), line));
    };
    let line = recipient_line(said)?;
    if line.integration_id().as_str() != flags.key.integration_id {
        let other = line.integration_id().as_str().to_owned();
        return Err(key_life::Refused::OtherIntegration(other).into());
    }
    Ok((None, line))
}

pub(in crate::commands) fn ending(flags: &OverlapFlags, now: Timestamp) -> Result<Ending, Error> {
    if flags.now {
        return Ok(Ending::Now);
    }
    let at = now.checked_add(flags.overlap.0);
    Ok(Ending::At(at.map_err(|_| "--overlap: that is beyond the year 9999")?))
}

/// What becomes of the old key of a roll.
pub(in crate::commands) fn end_in_words(
    name: &str,
    ending: Ending,
    ends_at: Option<Timestamp>,
    now: Timestamp,
) -> String {
    match (ending, ends_at) {
        (Ending::Now, _) => format!("revoke {name} at once"),
        (Ending::At(_), Some(end)) => format!("let {name} expire at {}", time(end, now)),
        (Ending::At(end), None) => format!("let {name} expire at {}", whole_seconds(end)),
    }
}

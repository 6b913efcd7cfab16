//! `apply`: brings the store to what a manifest says, step by step. A step is one commit, so what
//! is interrupted goes on with the next `apply`.

use std::io::Read as _;
use std::path::Path;

use serde_json::json;

use super::consent::{Consent, ask};
use super::desk::{Desk, each, show};
use super::table::paragraph;
use super::{Done, Error, complain};
use crate::config::Platform;
use crate::config::life::{ApplyFlags, OutputFormat};
use crate::key_life::Occasion;
use crate::key_store::{IntegrationKeyRow, IntegrationRow, OrganizationRow};
use crate::manifest::{Holdings, MAX_MANIFEST_BYTES, Manifest, Sign, Step, compare};

pub(super) async fn run(flags: &ApplyFlags, platform: &Platform) -> Result<Done, Error> {
    let file = flags.file.display();
    let manifest =
        Manifest::parse(&read(&flags.file)?).map_err(|reason| format!("{file}: {reason}"))?;
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let holdings = holdings(&desk).await?;
    let steps = |on: &Occasion| {
        compare(&manifest, &holdings, flags.prune, on).map_err(|objections| {
            for objection in &objections {
                complain(&paragraph("", &objection.to_string()));
            }
            Error::from(format!("{file} cannot be applied; nothing was changed"))
        })
    };
    let planned = steps(&desk.occasion(&flags.change, platform)?)?;
    if planned.is_empty() {
        answer(flags.change.read.output, &planned, 0)?;
        return Ok(Done::All);
    }
    let will: Vec<_> = planned.iter().map(in_a_sentence).collect();
    if flags.change.dry_run {
        answer(flags.change.read.output, &planned, 0)?;
        return Ok(Done::Found);
    }
    if ask(&flags.change, &will)? == Consent::DryRun {
        return Ok(Done::Found);
    }
    let steps = steps(&Desk::occasion_of_writing(&flags.change, platform)?)?;
    for (made, step) in steps.iter().enumerate() {
        desk.store.commit(&step.change).await.map_err(|error| {
            let total = steps.len();
            format!("{}: {error} ({made} of {total} steps are made; apply again)", step.words)
        })?;
    }
    answer(flags.change.read.output, &steps, steps.len())?;
    Ok(Done::All)
}

/// What a step does, where no sign stands before it.
fn in_a_sentence(step: &Step) -> String {
    match step.sign {
        Sign::Create => format!("create {}", step.words),
        Sign::Change => format!("change {}", step.words),
        // They say it themselves.
        Sign::Revoke => step.words.clone(),
    }
}

/// The manifest as it stands in the file, or comes from standard input for `-`.
fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    // One byte more than fits tells a manifest that is too large.
    let most = MAX_MANIFEST_BYTES as u64 + 1;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text))
    };
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(text)
}

async fn holdings(desk: &Desk) -> Result<Holdings, Error> {
    let mut holdings = Holdings::default();
    let store = &desk.store;
    each(
        async |after| store.list_integrations(after).await,
        |row: IntegrationRow| drop(holdings.integrations.insert(row.id.clone(), row)),
    )
    .await?;
    each(
        async |after| store.list_integration_keys(None, after).await,
        |row: IntegrationKeyRow| {
            let name = (row.integration_id.clone(), row.key_id.clone());
            holdings.keys.insert(name, row);
        },
    )
    .await?;
    each(
        async |after| store.list_organizations(after).await,
        |row: OrganizationRow| drop(holdings.organizations.insert(row.name.clone(), row)),
    )
    .await?;
    Ok(holdings)
}

fn answer(format: OutputFormat, steps: &[Step], made: usize) -> Result<(), Error> {
    show(
        format,
        || {
            let step = |step: &Step| json!({ "sign": step.sign.to_string(), "step": step.words });
            json!({ "steps": steps.iter().map(step).collect::<Vec<_>>(), "made": made })
        },
        || match (steps.len(), made) {
            (0, _) => "The store is as the manifest says.\n".to_owned(),
            (total, 0) => {
                let lines =
                    steps.iter().map(|step| paragraph(&format!("  {} ", step.sign), &step.words));
                let steps = if total == 1 { "step" } else { "steps" };
                lines.collect::<String>() + &format!("{total} {steps}; nothing was changed.\n")
            }
            (_, made) => format!("The store is as the manifest says; steps made: {made}.\n"),
        },
    )
}

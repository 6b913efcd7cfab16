//! From what stands in a store to what a manifest says: the steps, and what speaks against them.
//!
//! Nothing is ever deleted, and what has ended does not begin again.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Write as _};

use super::{IntegrationEntry, KeyEntry, Manifest, OrganizationEntry};
use crate::key_life::{
    self, Amendment, Occasion, Planned, Refused, Remark, Terms, amend_integration_key,
};
use crate::key_store::{
    Change, IntegrationKeyRow, IntegrationRow, KeyStatus, NewIntegration, NewIntegrationKey,
    NewOrganization, OrganizationRow, RecordName, Write,
};

/// The multiplier of an organization for which a manifest says none: the Go tools'.
const USUAL_MULTIPLIER: f64 = 1.0;

/// All that stands in a store, but for the keys of organizations.
#[derive(Debug, Default)]
pub struct Holdings {
    pub integrations: HashMap<String, IntegrationRow>,
    pub keys: HashMap<(String, String), IntegrationKeyRow>,
    pub organizations: HashMap<String, OrganizationRow>,
}

/// One change on the way, made in one commit.
#[derive(Debug, Clone)]
pub struct Step {
    pub sign: Sign,
    /// What is changed, and how, for people.
    pub words: String,
    pub change: Change,
}

/// What a step does, as a difference shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Create,
    Change,
    Revoke,
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "+",
            Self::Change => "~",
            Self::Revoke => "-",
        })
    }
}

/// Why the store cannot be brought to what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{record}: {reason}")]
pub struct Objection {
    pub record: RecordName,
    pub reason: String,
}

/// The steps from what stands there to what is wanted; none when it is the same.
///
/// With `prune`, integration keys that the manifest does not name are revoked.
///
/// # Errors
/// All that speaks against it. Then nothing should be done.
pub fn compare(
    manifest: &Manifest,
    holdings: &Holdings,
    prune: bool,
    on: &Occasion,
) -> Result<Vec<Step>, Vec<Objection>> {
    let mut way = Way { steps: Vec::new(), objections: Vec::new(), on };
    for integration in &manifest.integrations {
        way.integration(integration, holdings);
    }
    for organization in &manifest.organizations {
        way.organization(organization, holdings.organizations.get(organization.name.as_str()));
    }
    if prune {
        way.prune(manifest, holdings);
    }
    if way.objections.is_empty() { Ok(way.steps) } else { Err(way.objections) }
}

struct Way<'a> {
    steps: Vec<Step>,
    objections: Vec<Objection>,
    on: &'a Occasion,
}

impl Way<'_> {
    fn integration(&mut self, wanted: &IntegrationEntry, holdings: &Holdings) {
        let id = wanted.id.as_str();
        let found = holdings.integrations.get(id);
        match found {
            None => {
                let new = NewIntegration {
                    id: wanted.id.clone(),
                    description: wanted.description.clone(),
                    created_at: self.on.at,
                };
                let write = Write::InsertIntegration(new);
                self.step(Sign::Create, format!("integration {id}"), write.into());
            }
            Some(row) if row.description != wanted.description.as_str() => {
                let description = wanted.description.as_str().to_owned();
                let words = format!(
                    "integration {id}: description {:?} -> {description:?}",
                    row.description
                );
                let row = IntegrationRow { description, ..row.clone() };
                self.step(Sign::Change, words, Write::ReplaceIntegration(row).into());
            }
            Some(_) => {}
        }
        for key in &wanted.keys {
            let row = holdings.keys.get(&(id.to_owned(), key.id.as_str().to_owned()));
            match row {
                None => self.create_key(wanted, key),
                Some(row) => self.change_key(key, row),
            }
        }
    }

    fn create_key(&mut self, integration: &IntegrationEntry, wanted: &KeyEntry) {
        let has_ended = wanted.expires_at.is_some_and(|end| end <= self.on.at);
        if wanted.revoked.is_some() || has_ended {
            // What is not there opens nothing already.
            return;
        }
        let key = NewIntegrationKey {
            integration_id: integration.id.clone(),
            key_id: wanted.id.clone(),
            secret_hash: wanted.secret_hash,
            description: wanted.description.clone(),
            tier: wanted.tier,
            created_at: self.on.at,
        };
        let terms = Terms {
            not_before: wanted.not_before,
            expires_at: wanted.expires_at,
            note: wanted.note.clone(),
        };
        let name = RecordName::IntegrationKey(
            integration.id.as_str().to_owned(),
            wanted.id.as_str().to_owned(),
        );
        let mut words = format!("{name} (tier {}", wanted.tier);
        for (what, time) in [("not before", wanted.not_before), ("expires", wanted.expires_at)] {
            if let Some(time) = time {
                let _ = write!(words, ", {what} {time}");
            }
        }
        words.push(')');
        let planned = key_life::create_key_of_integration_at_hand(&key, &terms, self.on);
        self.planned(Sign::Create, words, name, planned);
    }

    fn change_key(&mut self, wanted: &KeyEntry, row: &IntegrationKeyRow) {
        let name = RecordName::IntegrationKey(row.integration_id.clone(), row.key_id.clone());
        if row.secret_hash() != Some(wanted.secret_hash) {
            let reason = "the store has another secret under this id: a key is never replaced in \
                          place, it is rolled";
            self.objections.push(Objection { record: name, reason: reason.to_owned() });
            return;
        }
        let facts = row.facts_in_force();
        let is_over = row.key_status() != KeyStatus::Active
            || facts.is_some_and(|facts| facts.revoked.is_some());
        match (&wanted.revoked, is_over) {
            (Some(_), true) => {}
            (Some(reason), false) => self.revoke(row, reason, "marked as revoked"),
            (None, true) => {
                let reason = "it is revoked in the store, and stays so: mark it as revoked here, \
                              with a reason";
                self.objections.push(Objection { record: name, reason: reason.to_owned() });
            }
            (None, false) => {
                let wish = Amendment {
                    tier: wanted.tier,
                    description: wanted.description.clone(),
                    not_before: wanted.not_before,
                    expires_at: wanted.expires_at,
                    note: wanted.note.clone(),
                };
                let words = format!("{name}: {}", differences(row, wanted));
                let planned = amend_integration_key(row, &wish, self.on);
                self.planned(Sign::Change, words, name, planned);
            }
        }
    }

    fn organization(&mut self, wanted: &OrganizationEntry, found: Option<&OrganizationRow>) {
        let name = &wanted.name;
        let Some(row) = found else {
            let new = NewOrganization {
                name: name.clone(),
                email: wanted.email.clone(),
                probability_multiplier: wanted.probability_multiplier.unwrap_or(USUAL_MULTIPLIER),
                created_at: self.on.at,
            };
            let write = Write::InsertOrganization(new);
            return self.step(Sign::Create, format!("organization {name}"), write.into());
        };
        let mut changed = row.clone();
        let mut differences = Vec::new();
        if row.email != wanted.email {
            differences.push(format!("email {:?} -> {:?}", row.email, wanted.email));
            wanted.email.clone_into(&mut changed.email);
        }
        if let Some(multiplier) = wanted.probability_multiplier
            && row.probability_multiplier != Some(multiplier)
        {
            let old = row.probability_multiplier;
            let old = old.map_or_else(|| "none".to_owned(), |old| format!("{old:?}"));
            differences.push(format!("probability multiplier {old} -> {multiplier:?}"));
            changed.probability_multiplier = Some(multiplier);
        }
        if !differences.is_empty() {
            let words = format!("organization {name}: {}", differences.join(", "));
            self.step(Sign::Change, words, Write::ReplaceOrganization(changed).into());
        }
    }

    fn prune(&mut self, manifest: &Manifest, holdings: &Holdings) {
        let named: HashSet<(&str, &str)> = manifest
            .integrations
            .iter()
            .flat_map(|one| one.keys.iter().map(|key| (one.id.as_str(), key.id.as_str())))
            .collect();
        let mut others: Vec<_> = holdings
            .keys
            .iter()
            .filter(|((id, key_id), _)| !named.contains(&(id.as_str(), key_id.as_str())))
            .collect();
        others.sort_by_key(|(name, _)| *name);
        let Some(reason) = Remark::parse("the manifest does not name it") else { return };
        for (_, row) in others {
            self.revoke(row, &reason, "not named by the manifest");
        }
    }

    fn revoke(&mut self, row: &IntegrationKeyRow, reason: &Remark, why: &str) {
        let planned = key_life::revoke_integration_key(row, reason, self.on);
        let name = RecordName::IntegrationKey(row.integration_id.clone(), row.key_id.clone());
        self.planned(Sign::Revoke, format!("revoke {name}: {why}"), name, Ok(planned));
    }

    fn planned(
        &mut self,
        sign: Sign,
        words: String,
        record: RecordName,
        planned: Result<Planned, Refused>,
    ) {
        match planned {
            Ok(planned) if planned.change.writes().is_empty() => {}
            Ok(planned) => self.step(sign, words, planned.change),
            Err(refused) => {
                self.objections.push(Objection { record, reason: refused.to_string() });
            }
        }
    }

    fn step(&mut self, sign: Sign, words: String, change: Change) {
        self.steps.push(Step { sign, words, change });
    }
}

/// What an amendment changes, old and new.
fn differences(row: &IntegrationKeyRow, wanted: &KeyEntry) -> String {
    let facts = row.facts_in_force();
    let time = |time: Option<jiff::Timestamp>| {
        time.map_or_else(|| "none".to_owned(), |time| time.to_string())
    };
    let text =
        |text: Option<&str>| text.map_or_else(|| "none".to_owned(), |text| format!("{text:?}"));
    [
        ("tier", row.tier.to_string(), wanted.tier.to_string()),
        ("description", text(Some(&row.description)), text(Some(wanted.description.as_str()))),
        ("not before", time(facts.and_then(|facts| facts.not_before)), time(wanted.not_before)),
        ("expires", time(facts.and_then(|facts| facts.expires_at)), time(wanted.expires_at)),
        (
            "note",
            text(facts.and_then(|facts| facts.note.as_deref())),
            text(wanted.note.as_ref().map(Remark::as_str)),
        ),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(what, old, new)| format!("{what} {old} -> {new}"))
    .collect::<Vec<_>>()
    .join(", ")
}

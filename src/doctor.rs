//! Examines a store: what in it is dead, orphaned, duplicate, dangerous or unreadable.
//!
//! Rows come in page by page and are forgotten; what is remembered of them is a fingerprint. No
//! store is asked here and nothing is printed: this room only judges.

mod finding;
mod published;
mod repair;

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

pub use self::finding::{Code, Finding, Mend};
pub use self::repair::{end_integration_key, end_organization_key, rewrite_organization};
use crate::api_key::{IntegrationId, KeyId, SecretHash};
use crate::key_store::{
    Defect, Facts, FactsState, IntegrationKeyFactsRow, IntegrationKeyRow, IntegrationRow,
    KeyStatus, OrganizationKeyFactsRow, OrganizationKeyRow, OrganizationRow, RecordName, Verdict,
};

/// An operator who looks every week hears of it in time to hand over a successor.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What has to be seen before what: all integrations before their keys, all keys before the facts
/// without them.
pub struct Examination {
    now: Timestamp,
    /// Test keys are looked for: this is no emulator.
    is_real: bool,
    integrations: HashSet<Fingerprint>,
    integration_keys: HashSet<Fingerprint>,
    organizations: HashSet<Fingerprint>,
    /// By key: who was seen last to hold it.
    holders: HashMap<[u8; 32], String>,
}

/// Names by 16 bytes of their SHA-256: 100,000 of them have to fit beside everything else.
type Fingerprint = [u8; 16];

impl Examination {
    #[must_use]
    pub fn new(now: Timestamp, is_real: bool) -> Self {
        Self {
            now,
            is_real,
            integrations: HashSet::new(),
            integration_keys: HashSet::new(),
            organizations: HashSet::new(),
            holders: HashMap::new(),
        }
    }

    pub fn integration(&mut self, row: &IntegrationRow) -> Vec<Finding> {
        self.integrations.insert(fingerprint(&[&row.id]));
        let mut findings = Findings::about(RecordName::Integration(row.id.clone()));
        findings.defects(&row.defects);
        if let Err(reason) = IntegrationId::parse(&row.id)
            && !row.defects.contains(&Defect::NumericName)
        {
            findings.add(Code::ImpossibleId, format!("the id: {reason}"));
        }
        findings.all
    }

    pub fn integration_key(&mut self, row: &IntegrationKeyRow) -> Vec<Finding> {
        self.integration_keys.insert(fingerprint(&[&row.integration_id, &row.key_id]));
        let name = RecordName::IntegrationKey(row.integration_id.clone(), row.key_id.clone());
        let mut findings = Findings::about(name);
        findings.defects(&row.defects);
        let can_be_named = findings.ids_of(row);
        let is_active = row.key_status() == KeyStatus::Active;
        let is_readable = !row.defects.iter().any(Defect::fails_readers);
        let is_revoked = row.status == KeyStatus::REVOKED;
        // Revoking is the remedy, so it ends the finding.
        let is_laid_to_rest = is_revoked && row.secret_hash().is_none();
        if is_readable && row.secret_hash().is_none() && !is_laid_to_rest {
            let detail = "the hash is not 64 lower-case hex digits".to_owned();
            findings.add(Code::MalformedHash, detail);
        }
        if is_readable && !is_active && !is_revoked {
            let detail = format!("the status is {:?}", shortened(&row.status));
            findings.add(Code::UnknownStatus, detail);
        }
        let works_elsewhere =
            can_be_named && is_active && is_readable && row.secret_hash().is_some();
        findings.facts(&row.facts);
        let facts = row.facts_in_force();
        if row.facts.readable().is_some() && facts.is_none() && !is_laid_to_rest {
            let detail = "the facts are about another secret than the record's".to_owned();
            findings.add(Code::FactsOfAnotherHash, detail);
        }
        if works_elsewhere {
            let verdict = facts.map_or(Verdict::Valid, |facts| facts.judge(self.now));
            if is_over(verdict) {
                let mend = Mend::EndIntegrationKey {
                    integration_id: row.integration_id.clone(),
                    key_id: row.key_id.clone(),
                };
                let detail = format!("{} here, and \"active\" in its record", word(verdict));
                findings.mendable(Code::AliveElsewhere, detail, mend);
            } else {
                self.still_valid(&mut findings, row, facts);
            }
        }
        findings.all
    }

    /// What can be said of a key that is accepted, or will be.
    fn still_valid(&self, findings: &mut Findings, row: &IntegrationKeyRow, facts: Option<&Facts>) {
        if !self.integrations.contains(&fingerprint(&[&row.integration_id])) {
            let mend = Mend::CreateIntegration(row.integration_id.clone());
            let detail = "its integration is missing, and it works".to_owned();
            findings.mendable(Code::Orphan, detail, mend);
        }
        findings.expiry(facts, self.now);
        if self.is_real && row.secret_hash().is_some_and(published::is_published) {
            findings.add(Code::PublishedKey, "a test key that stands in public".to_owned());
        }
    }

    pub fn organization(&mut self, row: &OrganizationRow) -> Vec<Finding> {
        self.organizations.insert(fingerprint(&[&row.name]));
        let mut findings = Findings::about(RecordName::Organization(row.name.clone()));
        for defect in &row.defects {
            match defect {
                Defect::IntegerMultiplier => findings.mendable(
                    Code::IntegerMultiplier,
                    defect.to_string(),
                    Mend::StoreMultiplierAsFloat(row.name.clone()),
                ),
                Defect::Empty(_) => findings.mendable(
                    Code::OrganizationName,
                    defect.to_string(),
                    Mend::NameOrganization(row.name.clone()),
                ),
                Defect::DiffersFromName(_) => {
                    findings.add(Code::OrganizationName, defect.to_string());
                }
                other => findings.defects(std::slice::from_ref(other)),
            }
        }
        findings.all
    }

    pub fn organization_key(&mut self, row: &OrganizationKeyRow) -> Vec<Finding> {
        let name = RecordName::OrganizationKey(row.organization.clone(), row.key_hash);
        let mut findings = Findings::about(name);
        for defect in &row.defects {
            match defect {
                Defect::NotIndexed(_) => findings.mendable(
                    Code::KeyNotIndexed,
                    defect.to_string(),
                    Mend::IndexOrganizationKey(Box::new(row.clone())),
                ),
                other => findings.defects(std::slice::from_ref(other)),
            }
        }
        findings.facts(&row.facts);
        let facts = row.facts.readable().map(|stored| &stored.facts);
        let is_presentable = !row.defects.contains(&Defect::Empty("key"));
        let other = is_presentable
            .then(|| self.holders.entry(*row.key_hash.as_bytes()).or_default())
            .map(|holder| std::mem::replace(holder, row.organization.clone()))
            .filter(|other| !other.is_empty());
        let verdict = facts.map_or(Verdict::Valid, |facts| facts.judge(self.now));
        if is_over(verdict) {
            let mend = Mend::EndOrganizationKey(Box::new(row.clone()));
            let detail = format!("{} here, and its APIKey is still there", word(verdict));
            findings.mendable(Code::AliveElsewhere, detail, mend);
            return findings.all;
        }
        let opens_something = row.defects.is_empty();
        if opens_something && !self.organizations.contains(&fingerprint(&[&row.organization])) {
            findings.add(Code::Orphan, "its organization is missing, and it works".to_owned());
        }
        if let Some(other) = other {
            let detail = format!("organization {} holds the same key", shortened(&other));
            findings.add(Code::SharedKey, detail);
        }
        findings.expiry(facts, self.now);
        if self.is_real && published::is_published(row.key_hash) {
            findings.add(Code::PublishedKey, "a test key that stands in public".to_owned());
        }
        findings.all
    }

    pub fn integration_key_facts(&mut self, row: &IntegrationKeyFactsRow) -> Vec<Finding> {
        let seen = fingerprint(&[&row.integration_id, &row.key_id]);
        if self.integration_keys.contains(&seen) {
            return Vec::new();
        }
        let name = RecordName::IntegrationKeyFacts(row.integration_id.clone(), row.key_id.clone());
        let mut findings = Findings::about(name);
        findings.add(Code::FactsWithoutRecord, "there is no such key".to_owned());
        findings.all
    }

    pub fn organization_key_facts(&mut self, row: &OrganizationKeyFactsRow) -> Vec<Finding> {
        let Some(hash) = SecretHash::from_hex(&row.key_hash) else {
            let name = RecordName::Organization(shortened(&row.key_hash));
            let mut findings = Findings::about(name);
            let detail = "facts whose name is no hash of a key".to_owned();
            findings.add(Code::FactsWithoutRecord, detail);
            return findings.all;
        };
        let is_revoked = row.facts.readable().is_some_and(|stored| stored.facts.revoked.is_some());
        if is_revoked || self.holders.contains_key(hash.as_bytes()) {
            return Vec::new();
        }
        let mut findings = Findings::about(RecordName::OrganizationKeyFacts(hash));
        findings.add(Code::FactsWithoutRecord, "no organization holds the key".to_owned());
        findings.all
    }
}

/// What was found about one record.
struct Findings {
    record: RecordName,
    all: Vec<Finding>,
}

impl Findings {
    fn about(record: RecordName) -> Self {
        Self { record, all: Vec::new() }
    }

    fn add(&mut self, code: Code, detail: String) {
        self.all.push(Finding { code, record: self.record.clone(), detail, mend: None });
    }

    fn mendable(&mut self, code: Code, detail: String, mend: Mend) {
        let record = self.record.clone();
        self.all.push(Finding { code, record, detail, mend: Some(mend) });
    }

    /// What the engine has seen, where it means the same of every kind.
    fn defects(&mut self, defects: &[Defect]) {
        for defect in defects {
            let code = match defect {
                Defect::PropertyType(_) | Defect::UnknownProperty(_) => Code::Unreadable,
                Defect::NotIndexed(_) => Code::KeyNotIndexed,
                Defect::Missing(_) => Code::MissingProperty,
                Defect::IntegerMultiplier => Code::IntegerMultiplier,
                Defect::NumericName => Code::ImpossibleId,
                Defect::NoParent => Code::NoParent,
                Defect::NumericParent => Code::NumericParent,
                Defect::ForeignParent => Code::ForeignParent,
                Defect::Empty(_) => Code::EmptyKey,
                Defect::DiffersFromName(_) => Code::KeyDiffersFromName,
            };
            self.add(code, defect.to_string());
        }
    }

    /// Whether an API key can name the record at all.
    fn ids_of(&mut self, row: &IntegrationKeyRow) -> bool {
        let has_a_name = !row.defects.iter().any(|defect| {
            matches!(
                defect,
                Defect::NumericName
                    | Defect::NoParent
                    | Defect::NumericParent
                    | Defect::ForeignParent
            )
        });
        if !has_a_name {
            return false;
        }
        let reason = match (IntegrationId::parse(&row.integration_id), KeyId::parse(&row.key_id)) {
            (Ok(_), Ok(_)) => return true,
            (Err(reason), _) => format!("the integration's id: {reason}"),
            (_, Err(reason)) => format!("the key id: {reason}"),
        };
        self.add(Code::ImpossibleId, reason);
        false
    }

    fn facts(&mut self, facts: &FactsState) {
        if let FactsState::Unreadable { defect, .. } = facts {
            self.add(Code::UnreadableFacts, defect.to_string());
        }
    }

    /// A key that was replaced is meant to end.
    fn expiry(&mut self, facts: Option<&Facts>, now: Timestamp) {
        let Some(facts) = facts.filter(|facts| facts.replaced_by.is_none()) else { return };
        if let Some(end) = facts.expires_at
            && now.checked_add(SOON).is_ok_and(|soon| end <= soon)
        {
            self.add(Code::ExpiresSoon, format!("it ends at {end}"));
        }
    }
}

fn is_over(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Expired | Verdict::Revoked)
}

fn word(verdict: Verdict) -> &'static str {
    if verdict == Verdict::Revoked { "revoked" } else { "expired" }
}

fn fingerprint(names: &[&str]) -> Fingerprint {
    let mut sha256 = Sha256::new();
    for name in names {
        sha256.update(name.len().to_be_bytes());
        sha256.update(name.as_bytes());
    }
    let digest: [u8; 32] = sha256.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// Other people's text in a sentence of ours.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

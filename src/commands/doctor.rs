//! `doctor`: shows what is wrong in a store, and mends what can be mended without loss.

mod mend;
mod progress;

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::json;

use self::progress::Progress;
use super::consent::{Consent, ask};
use super::desk::{Desk, each, show};
use super::table::paragraph;
use super::{Done, Error, complain};
use crate::config::Platform;
use crate::config::life::DoctorFlags;
use crate::doctor::{Examination, Finding};
use crate::key_store::OrganizationKeysOf;

/// How many findings are kept to be shown. A store with more has one fault many times over, and
/// memory is for the whole of it.
const MAX_FINDINGS: usize = 10_000;

pub(super) async fn run(flags: &DoctorFlags, platform: &Platform) -> Result<Done, Error> {
    let desk = Desk::open(&flags.change.read.store, platform)?;
    let report = examine(&desk).await?;
    show(flags.change.read.output, || report.json(), || report.text())?;
    if report.is_clean() {
        return Ok(Done::All);
    }
    let mends: Vec<_> = report.findings.iter().filter_map(|one| one.mend.as_ref()).collect();
    if !flags.fix || mends.is_empty() {
        return Ok(Done::Found);
    }
    let will: Vec<_> = mends.iter().map(ToString::to_string).collect();
    if ask(&flags.change, &will)? == Consent::DryRun {
        return Ok(Done::Found);
    }
    for mend in &mends {
        let on = Desk::occasion_of_writing(&flags.change, platform)?;
        mend::make(&desk, mend, &on).await.map_err(|error| format!("cannot {mend}: {error}"))?;
    }
    complain(&format!("Mended: {}. Found all the same: {}.\n", mends.len(), report.left()));
    Ok(if report.left() == 0 { Done::All } else { Done::Found })
}

/// What was found, and in how much.
struct Report {
    records: usize,
    findings: Vec<Finding>,
    /// Beyond those that are kept.
    more: usize,
    now: Timestamp,
}

impl Report {
    fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How many findings a person has to see to.
    fn left(&self) -> usize {
        self.findings.iter().filter(|finding| finding.mend.is_none()).count() + self.more
    }

    fn take(&mut self, found: Vec<Finding>) {
        for finding in found {
            if self.findings.len() < MAX_FINDINGS {
                self.findings.push(finding);
            } else {
                self.more += 1;
            }
        }
    }

    fn json(&self) -> serde_json::Value {
        let finding = |finding: &Finding| {
            json!({
                "code": finding.code,
                "record": finding.record.to_string(),
                "detail": finding.detail,
                "remedy": finding.code.remedy(),
                "fix": finding.mend.as_ref().map(ToString::to_string),
            })
        };
        json!({
            "examined_at": self.now.to_string(),
            "records": self.records,
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "more": self.more,
        })
    }

    fn text(&self) -> String {
        if self.is_clean() {
            return format!("Examined {} records: nothing found.\n", self.records);
        }
        let mut text = String::new();
        let mut findings: Vec<_> = self.findings.iter().collect();
        findings.sort_by_key(|finding| finding.code);
        for group in findings.chunk_by(|one, other| one.code == other.code) {
            let code = group[0].code;
            let _ = writeln!(text, "{code}");
            text.push_str(&paragraph("  ", code.remedy()));
            for finding in group {
                let about = format!("{}: {}", finding.record, finding.detail);
                text.push_str(&paragraph("  - ", &about));
            }
            text.push('\n');
        }
        let fixable = self.findings.iter().filter(|finding| finding.mend.is_some()).count();
        let _ = writeln!(
            text,
            "Examined {} records: {} found, {fixable} of them can be mended by --fix.",
            self.records,
            self.findings.len() + self.more
        );
        if self.more > 0 {
            let _ = writeln!(
                text,
                "Only the first {MAX_FINDINGS} are shown: mend them, and look again."
            );
        }
        text
    }
}

/// Goes through the store once, in the order that the examination needs.
async fn examine(desk: &Desk) -> Result<Report, Error> {
    let mut examination = Examination::new(desk.now, desk.is_real);
    let mut report = Report { records: 0, findings: Vec::new(), more: 0, now: desk.now };
    let mut progress = Progress::start();
    macro_rules! examine {
        ($list:expr, $examine:ident) => {
            each($list, |row| {
                report.records += 1;
                report.take(examination.$examine(&row));
                progress.at(report.records);
            })
            .await?;
        };
    }
    let store = &desk.store;
    examine!(async |after| store.list_integrations(after).await, integration);
    examine!(async |after| store.list_integration_keys(None, after).await, integration_key);
    examine!(async |after| store.list_integration_key_facts(after).await, integration_key_facts);
    examine!(async |after| store.list_organizations(after).await, organization);
    let everybody = OrganizationKeysOf::Everybody;
    examine!(async |after| store.list_organization_keys(everybody, after).await, organization_key);
    examine!(async |after| store.list_organization_key_facts(after).await, organization_key_facts);
    progress.end();
    Ok(report)
}

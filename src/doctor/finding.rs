//! What can be wrong in a store, each with a code that never changes and a remedy.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::key_store::{OrganizationKeyRow, RecordName};

/// Something that an operator should know of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub code: Code,
    pub record: RecordName,
    /// What is wrong, in words. Never holds a secret.
    pub detail: String,
    /// What `--fix` would do.
    pub mend: Option<Mend>,
}

/// A repair that loses nothing. It is worked out anew from what stands in the store when it is
/// made.
#[derive(Debug, Clone, PartialEq)]
pub enum Mend {
    CreateIntegration(String),
    EndIntegrationKey { integration_id: String, key_id: String },
    EndOrganizationKey(Box<OrganizationKeyRow>),
    IndexOrganizationKey(Box<OrganizationKeyRow>),
    StoreMultiplierAsFloat(String),
    NameOrganization(String),
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateIntegration(id) => {
                write!(f, "create the missing integration {id}, without a description")
            }
            Self::EndIntegrationKey { integration_id, key_id } => write!(
                f,
                "set the status of key {key_id} of integration {integration_id} to revoked, so \
                 that it ends in the Go service too"
            ),
            Self::EndOrganizationKey(row) => write!(
                f,
                "delete the APIKey {} under organization {}, and wherever else it stands, so that \
                 it ends in autojoin too; its facts stay",
                row.key_hash.fingerprint(),
                row.organization
            ),
            Self::IndexOrganizationKey(row) => write!(
                f,
                "write key {} of organization {} again, indexed",
                row.key_hash.fingerprint(),
                row.organization
            ),
            Self::StoreMultiplierAsFloat(name) => {
                write!(f, "store the multiplier of organization {name} as a floating-point number")
            }
            Self::NameOrganization(name) => {
                write!(f, "fill in the empty `name` of organization {name} with that name")
            }
        }
    }
}

macro_rules! codes {
    ($($code:ident $word:literal $remedy:literal,)+) => {
        /// What is wrong, for programs. A code that was released keeps its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($code,)+
        }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$code),+];

            /// The code as it is printed.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $word,)+
                }
            }

            /// What to do about it.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self {
                    $(Self::$code => $remedy,)+
                }
            }
        }
    };
}

codes! {
    ImpossibleId "impossible-id"
        "No API key can name this record: create the integration or key anew under an id that can.",
    MalformedHash "malformed-hash"
        "No secret fits it: have the key generated again and import it, and revoke this one.",
    UnknownStatus "unknown-status"
        "It is not \"active\", so the key is refused: revoke it for good, or have the status mended.",
    Orphan "orphan"
        "The key works without what it belongs to: create that, or revoke the key.",
    SharedKey "shared-key"
        "The organization that sorts first answers for all of them: roll the key of each.",
    NoParent "no-parent"
        "The key belongs to nobody and is refused: delete the record, and create a key.",
    NumericParent "numeric-parent"
        "The service answers 500 to this key: create the organization by its name, and a key for it.",
    ForeignParent "foreign-parent"
        "The parent's name is taken for an organization: delete the record, and create a key.",
    EmptyKey "empty-key"
        "It can never be presented: delete the record, and create a key.",
    KeyDiffersFromName "key-differs-from-name"
        "Only `key` counts, whatever the record is called: roll the key.",
    KeyNotIndexed "key-not-indexed"
        "It cannot be found: have it written again, indexed (--fix), or revoke it.",
    Unreadable "unreadable"
        "The Go tools fail on this record: remove what they do not know, or create it anew.",
    IntegerMultiplier "integer-multiplier"
        "The Go reader panics on it: have it stored as a floating-point number (--fix).",
    OrganizationName "organization-name"
        "The Go tools show `name` and tokens state the record's name: make them the same.",
    MissingProperty "missing-property"
        "Readers take it for empty or zero: have it written.",
    AliveElsewhere "alive-elsewhere"
        "It is over here and goes on in the Go service or in autojoin: end it there too (--fix).",
    UnreadableFacts "unreadable-facts"
        "The service answers 503 to this key, as it cannot know: have the facts mended.",
    FactsWithoutRecord "facts-without-record"
        "Nobody can use such a key: if its record was deleted by mistake, create another key.",
    FactsOfAnotherHash "facts-of-another-hash"
        "The key was replaced in place, and its old end says nothing of it: set one, or revoke it.",
    ExpiresSoon "expires-soon"
        "Roll it, and hand over the successor in time.",
    PublishedKey "published-key"
        "Everybody can read this test key: revoke it now.",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

//! Verifiers, told apart by how long they keep a key set and when they fetch another.

/// In seconds; see the variants.
const CLOUD_ENDPOINTS_CACHE: u64 = 300;
const MAX_AGE: u64 = 3600;
const STALE: u64 = 3600;
const COOLDOWN: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keeps a set for 300 s, whatever it is told, and fetches on nothing else.
    CloudEndpoints,
    /// Keeps to `max-age`, and fetches on nothing else.
    StrictMaxAge,
    /// Fetches on an unknown `kid`, unless it has just fetched; keeps a set for ever otherwise.
    RefetchOnUnknown,
    /// Keeps to `max-age`, and for an hour more where it cannot fetch: here, always.
    StaleWhileUnreachable,
}

impl Kind {
    pub const ALL: [Self; 4] = [
        Self::CloudEndpoints,
        Self::StrictMaxAge,
        Self::RefetchOnUnknown,
        Self::StaleWhileUnreachable,
    ];
}

#[derive(Debug)]
pub struct Verifier {
    pub kind: Kind,
    /// How far its clock is ahead, in seconds.
    pub ahead: i64,
    fetched: Option<u64>,
    kids: Vec<String>,
}

impl Verifier {
    pub fn new(kind: Kind, ahead: i64) -> Self {
        Self { kind, ahead, fetched: None, kids: Vec::new() }
    }

    /// Whether it knows the key of a token. `fetch` asks an instance for the key set.
    pub fn accepts(&mut self, kid: &str, now: u64, fetch: impl FnOnce() -> Vec<String>) -> bool {
        let age = self.fetched.map(|fetched| now - fetched);
        let must_fetch = match (self.kind, age) {
            (_, None) => true,
            (Kind::CloudEndpoints, Some(age)) => age >= CLOUD_ENDPOINTS_CACHE,
            (Kind::StrictMaxAge, Some(age)) => age >= MAX_AGE,
            (Kind::StaleWhileUnreachable, Some(age)) => age >= MAX_AGE + STALE,
            (Kind::RefetchOnUnknown, Some(age)) => !self.knows(kid) && age >= COOLDOWN,
        };
        if must_fetch {
            self.kids = fetch();
            self.fetched = Some(now);
        }
        self.knows(kid)
    }

    fn knows(&self, kid: &str) -> bool {
        self.kids.iter().any(|known| known == kid)
    }
}

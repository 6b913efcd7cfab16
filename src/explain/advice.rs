//! What each reason means, and what to do about it: in this one place, and word for word in
//! README's troubleshooting.

/// What to make of a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// As records and metrics have it.
    pub reason: &'static str,
    /// Words of the record's `detail` by which this case is told from others of its reason.
    pub cause: Option<&'static str>,
    /// What happened, as the end of a sentence.
    pub happened: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Advice {
    /// The advice for a reason and its cause. `None` for a reason that is not known here.
    #[must_use]
    pub fn on(reason: &str, detail: Option<&str>) -> Option<&'static Self> {
        let detail = detail.unwrap_or_default();
        ADVICE.iter().find(|advice| {
            advice.reason == reason && advice.cause.is_none_or(|cause| detail.contains(cause))
        })
    }
}

macro_rules! advice {
    ($($reason:literal $(, $cause:literal)? => $happened:literal, $remedy:literal;)+) => {
        &[$(Advice {
            reason: $reason,
            cause: advice!(@ $($cause)?),
            happened: $happened,
            remedy: $remedy,
        }),+]
    };
    (@ $cause:literal) => { Some($cause) };
    (@) => { None };
}

/// Of the cases of one reason, the one without a cause comes last.
pub const ADVICE: &[Advice] = advice! {
    "granted" => "a token was given",
        "nothing; if a verifier refused the token, `explain-token` says why";
    "body_empty" => "there was no body",
        "the caller has to send `{\"api_key\":\"…\"}`";
    "body_broken" => "the body broke off",
        "the caller, or its network";
    "bad_json" => "the body was not a JSON object with an `api_key`",
        "the caller has to send `{\"api_key\":\"…\"}`";
    "body_too_large" => "the body was larger than a key can be",
        "the caller sends something else than a key";
    "body_too_slow" => "the body did not arrive in time",
        "the caller, or its network";
    "malformed" => "what was presented does not have the form of a key",
        "the caller cut the key, or added a newline";
    "unknown" => "there is no such key",
        "the key is gone, or has a typing error: make another; if it is so for every key, is it the store that the keys are in (`-project-id`, the two namespaces, `-key-store`)?";
    "unusable" => "the record of the key cannot be used",
        "somebody added or changed a property by hand; `doctor` names it, and the Go tools would not read it either";
    "wrong_secret" => "the key is there, and its secret is another",
        "a typing error, or a key that was replaced: make another";
    "not_active" => "the `status` of the key is not `active`",
        "somebody ended the key; make another if that was a mistake";
    "not_yet_valid" => "the key is not valid yet",
        "wait until its `-not-before` has come";
    "expired" => "the key has expired",
        "make another; `roll` makes one in time";
    "revoked" => "the key was revoked",
        "nothing, if it was meant; else make another: a revocation is for good";
    "unavailable", "the key store cannot be reached" => "the key store could not be reached",
        "the store, or the network to it; the caller tries again";
    "unavailable", "the key store did not answer in time" => "the key store did not answer in time",
        "the store, or the network to it; the caller tries again";
    "unavailable", "the key store refused the question" => "the key store refused the question",
        "permissions, or the project has no Datastore: the code of Datastore stands in the cause";
    "unavailable", "there are no credentials for the key store" => "there were no credentials for the key store",
        "the service's account, `GOOGLE_APPLICATION_CREDENTIALS`, the CA certificates";
    "unavailable" => "it could not be found out whether the key is right",
        "what the cause says: Datastore's own code, or SQLite's words (disk full, no database)";
    "shed" => "signatures waited in a standing queue, and newcomers were refused",
        "more cores or instances, or a smaller or faster signing key; the caller tries again";
    "too_many" => "as many exchanges were under way as may be",
        "is the store slow? else more instances, or `-max-in-flight`; the caller tries again";
    "crowded" => "too much was asked of the key store at once",
        "somebody tries made-up keys, or the store is slow; keys that are remembered are served";
    "queue_wait" => "the signature did not begin in time",
        "a burst: nothing; if it lasts, more cores or instances";
    "failed", "the organization has a numeric id" => "the organization has a numeric id, and a token can only state a name",
        "give the organization a name: create it anew, and a key for it";
    "failed" => "the key is right, and no token could be made",
        "report it, with the cause";
    "audit" => "the record of the exchange could not be written, so there is no token",
        "who reads the log? `-audit required` gives no token that is not on record";
    "panic" => "the service panicked, which is a defect of it",
        "report it, with the line of the log that names the place";
    "abandoned" => "it was cut off before its answer, since the service had to end",
        "nothing: the caller tries again";
};

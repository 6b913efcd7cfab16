//! `signing-key rotate`: adds the key that signs next, or puts another in place of one that leaked.

use secrecy::SecretString;

use super::super::{Done, Error, print};
use super::time_line::{self, clock_time, span};
use super::warn;
use crate::config::RotateKeysFlags;
use crate::environment::UnixSeconds;
use crate::signer::key_edit::{Dates, KeyDocument, is_free};
use crate::signer::{KeyFile, KeySet, Member, WAITS, generate};

pub(super) fn run(flags: &RotateKeysFlags, now: UnixSeconds) -> Result<Done, Error> {
    let file = KeyFile::at(&flags.file);
    let mut document = KeyDocument::read(&file)?;
    let dates = Dates { made: now, not_before: now.saturating_add(flags.lead.as_secs()) };
    let mut text = Vec::new();
    if flags.redo {
        let kid = the_one_that_waits(&document, flags.key.kid.as_deref(), now)?;
        document.date(&kid, dates)?;
        text.push(format!(
            "{kid} has a new start. This is right only if no instance has seen the file.\n"
        ));
    } else {
        match &flags.leaked {
            Some(leaked) => {
                document.revoke(leaked, now, "compromised")?;
                text.push(format!("{leaked} is revoked.\n"));
            }
            None => refuse_while_one_waits(&document, now)?,
        }
        let dropped = document.drop_past_use(now);
        text.extend(dropped.iter().map(|kid| format!("{kid} is past use and was dropped.\n")));
        document.add(&new_key(flags, document.keys())?, dates)?;
    }
    let read = document.as_read();
    let (json, keys) = document.finish()?;
    if !flags.dry_run {
        file.replace(&json, &read)?;
    }
    warn(&keys);
    text.push(time_line::of(&keys, now));
    text.push(advice(&keys, flags, now));
    if flags.dry_run {
        text.push("\nThis was a dry run: the file is as it was.\n".to_owned());
        print(&text.concat())?;
        return Ok(Done::Found);
    }
    print(&text.concat())?;
    Ok(Done::All)
}

fn refuse_while_one_waits(document: &KeyDocument, now: UnixSeconds) -> Result<(), Error> {
    let Some(waiting) = document.waiting_at(now).next() else { return Ok(()) };
    Err(format!(
        "{} waits to sign from {}; rotate again after that. If no instance has seen the file yet \
         (it was never uploaded), `signing-key rotate --redo` gives the key a new start; whether it \
         was uploaded is the one thing that the file cannot show",
        waiting.key.kid(),
        clock_time(waiting.lifetime.start()),
    )
    .into())
}

fn the_one_that_waits(
    document: &KeyDocument,
    kid: Option<&str>,
    now: UnixSeconds,
) -> Result<String, Error> {
    let waiting: Vec<&str> = document.waiting_at(now).map(|member| member.key.kid()).collect();
    match (kid, &waiting[..]) {
        (None, []) => Err("no key waits; rotate without --redo adds one".into()),
        (None, [kid]) => Ok((*kid).to_owned()),
        (None, several) => {
            Err(format!("several keys wait; say with --kid which: {}", several.join(", ")).into())
        }
        (Some(kid), waiting) if waiting.contains(&kid) => Ok(kid.to_owned()),
        (Some(kid), _) => Err(format!("{kid} is no key that waits").into()),
    }
}

fn new_key(flags: &RotateKeysFlags, keys: &KeySet) -> Result<SecretString, Error> {
    let (algorithm, size) = flags.key.resolve()?;
    if let Some(kid) = flags.key.kid.as_deref().filter(|kid| !is_free(keys, kid)) {
        return Err(format!("--kid: there is a key {kid} in the file already").into());
    }
    Ok(generate::private_jwk(algorithm, size, flags.key.kid.as_deref())?)
}

/// What to do now, and by when.
fn advice(keys: &KeySet, flags: &RotateKeysFlags, now: UnixSeconds) -> String {
    let made_now = |member: &&Member| member.lifetime.made == now;
    let what = match (&flags.leaked, keys.members().iter().rfind(made_now)) {
        (Some(leaked), _) => leak(keys, leaked, now),
        (None, Some(waiting)) => upload(waiting, now),
        (None, None) => String::new(),
    };
    let file = flags.file.display();
    format!("{what}\n  gcloud secrets versions add auth-private-key --data-file={file}\n")
}

fn upload(waiting: &Member, now: UnixSeconds) -> String {
    let by = waiting.lifetime.upload_by();
    let hurry = if by <= now {
        "That is now: this --lead leaves no time. Take a longer one with --redo.\n"
    } else {
        ""
    };
    format!(
        "\nUpload by {}, never later: it takes up to {} until everybody knows the key.\n{hurry}\
         If it gets later, do not upload: `signing-key rotate --redo` gives the key a new start.\n",
        clock_time(by),
        span(WAITS.before_start())
    )
}

/// What a leak means for verifiers, in plain words.
fn leak(keys: &KeySet, leaked: &str, now: UnixSeconds) -> String {
    let signing = keys.signing_at(now);
    let kid = signing.key.kid();
    let [max_age, endpoints, stale, reach] = [
        WAITS.key_set_max_age,
        WAITS.cloud_endpoints_cache,
        WAITS.stale_key_set,
        WAITS.secret_reaches_instances,
    ]
    .map(span);
    let substitute = if signing.lifetime.made == now {
        format!(
            "In the same time verifiers that do not fetch on an unknown kid refuse every token of\n\
             {kid}: no key was waiting that they could know. Nothing helps but time."
        )
    } else {
        format!(
            "If {kid} was uploaded before, verifiers\n\
             that have fetched the key set since accept its tokens; others refuse them until they\n\
             fetch again."
        )
    };
    format!(
        "\nUpload at once. {kid} signs from the moment an instance has read the file.\n\
         Until a verifier fetches the key set again, it accepts what is signed with {leaked}:\n\
         Cloud Endpoints for {endpoints} at most, others for {max_age}, and for {stale} more where they\n\
         cannot fetch. That time begins when the last instance has the file: with Secret\n\
         Manager within seconds to minutes, elsewhere within {reach}; SIGHUP or a restart\n\
         of the instances shortens it.\n{substitute}\n"
    )
}

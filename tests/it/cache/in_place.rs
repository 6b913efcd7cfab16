//! The real service, whose cache is warm: a secret is replaced in place, and a key is revoked.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use secrecy::SecretString;
use token_exchange::api_key::IntegrationApiKey;

use crate::support::operator::Operator;
use crate::support::service::Launch;

/// From then on nobody is told "invalid" who presents the new secret.
const FIRST_SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_secret_that_is_replaced_in_place_is_never_refused_from_the_first_second_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.db");
    let operator = Operator::on_sqlite(&path);
    let mut api_key = operator.integration_with_key("acme");
    let service = operator.serve(Launch::token_exchange().recorded_signing_key());
    let file = Connection::open(&path).unwrap();
    service.token("integration", &api_key);

    for replacement in ["second", "third", "fourth"] {
        let (ids, _) = api_key.rsplit_once('.').unwrap();
        api_key = format!("{ids}.{replacement}");
        let key = IntegrationApiKey::parse(&SecretString::from(api_key.as_str())).unwrap();
        let hash = key.secret_hash().to_hex();
        assert_eq!(file.execute("UPDATE integration_keys SET secret_hash = ?", [hash]), Ok(1));

        let replaced = Instant::now();
        let mut tokens = 0;
        while replaced.elapsed() < FIRST_SECOND * 5 / 2 {
            let asked = replaced.elapsed();
            match service.exchange("integration", &api_key).status {
                200 => tokens += 1,
                401 if asked < FIRST_SECOND => {}
                status => panic!("{status} after {asked:?}"),
            }
        }
        assert!(tokens > 0);
    }
}

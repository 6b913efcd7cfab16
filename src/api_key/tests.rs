//! The grammar, at its bounds.

use proptest::prelude::*;

use super::*;
use crate::environment::System;

fn parse(text: &str) -> Result<IntegrationApiKey, MalformedKey> {
    IntegrationApiKey::parse(&SecretString::from(text))
}

#[test]
fn a_generated_key_has_the_form_of_the_go_tool() {
    let id = IntegrationId::parse("acme").unwrap();
    let key_id = KeyId::generate(&System).unwrap();
    assert_eq!(key_id.as_str().len(), "ki_".len() + 16);
    let key = IntegrationApiKey::generate(id, key_id, &System).unwrap();
    let written = key.reveal();
    let secret = written.expose_secret().rsplit('.').next().unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(secret).unwrap().len(), 32);
}

#[test]
fn lengths_are_bytes_and_their_bounds_are_exact() {
    let key = |id: usize, key_id: usize, secret: usize| {
        let (id, key_id, secret) = ("i".repeat(id), "k".repeat(key_id), "s".repeat(secret));
        parse(&format!("mlabk.cii_{id}.ki_{key_id}.{secret}")).map(drop)
    };
    assert_eq!(key(64, 61, 128), Ok(()));
    assert_eq!(key(1, 1, 1), Ok(()));
    assert_eq!(key(65, 1, 1), Err(MalformedKey::IntegrationId(InvalidId::TooLong)));
    assert_eq!(key(0, 1, 1), Err(MalformedKey::IntegrationId(InvalidId::Empty)));
    assert_eq!(key(1, 62, 1), Err(MalformedKey::KeyId(InvalidId::TooLong)));
    assert_eq!(key(1, 0, 1), Err(MalformedKey::KeyId(InvalidId::Prefix)));
    assert_eq!(key(1, 1, 129), Err(MalformedKey::Secret));
    assert_eq!(key(1, 1, 0), Err(MalformedKey::Secret));
    // 300 bytes in all, and one more.
    assert_eq!(key(1, 1, 283), Err(MalformedKey::Secret));
    assert_eq!(key(1, 1, 284), Err(MalformedKey::TooLong));
    assert_eq!(parse(&"ü".repeat(33)).map(drop), Err(MalformedKey::Form));
    let umlauts = format!("mlabk.cii_{}.ki_x.s", "ü".repeat(33));
    let too_long = Err(MalformedKey::IntegrationId(InvalidId::TooLong));
    assert_eq!(parse(&umlauts).map(drop), too_long);
}

#[test]
fn keys_and_names_of_organizations_are_as_long_as_datastore_can_hold() {
    let key = |bytes: usize| OrganizationApiKey::parse("k".repeat(bytes).into());
    assert_eq!(key(0).err(), Some(MalformedKey::Empty));
    assert_eq!(key(1501).err(), Some(MalformedKey::TooLong));
    for bytes in [1, 1500] {
        assert_eq!(key(bytes).unwrap().reveal().expose_secret(), "k".repeat(bytes));
    }
    let name = |bytes: usize| OrganizationName::parse(&"n".repeat(bytes)).map(drop);
    assert_eq!(name(0), Err(InvalidName::Empty));
    assert_eq!((name(1), name(1500)), (Ok(()), Ok(())));
    assert_eq!(name(1501), Err(InvalidName::TooLong));
}

#[test]
fn a_hash_is_sha_256_and_equal_to_itself_alone() {
    // FIPS 180-4, the example of one block.
    let abc = OrganizationApiKey::parse("abc".to_owned().into()).unwrap().hash();
    let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(abc.to_hex(), hex);
    assert_eq!(hex::encode(abc.as_bytes()), hex);
    assert_eq!(abc.fingerprint(), hex[..16]);
    for byte in [0, 31] {
        let mut other = *abc.as_bytes();
        other[byte] ^= 1;
        assert_ne!(SecretHash::from_bytes(other), abc, "they differ in byte {byte}");
    }
}

#[test]
fn names_that_datastore_reserves_are_refused() {
    for reserved in ["____", "__x__", "__reserved__"] {
        assert_eq!(IntegrationId::parse(reserved), Err(InvalidId::Reserved), "{reserved}");
        assert_eq!(OrganizationName::parse(reserved), Err(InvalidName::Reserved), "{reserved}");
    }
    for allowed in ["__", "___", "__x_", "_x__"] {
        assert!(IntegrationId::parse(allowed).is_ok(), "{allowed}");
    }
}

#[test]
fn only_64_lower_case_hex_digits_are_a_stored_hash() {
    let hash = OrganizationApiKey::generate(&System).unwrap().hash();
    let hex = hash.to_hex();
    assert_eq!(SecretHash::from_hex(&hex), Some(hash));
    for wrong in ["A".repeat(64), format!("{hex}\n"), hex[1..].to_owned(), String::new()] {
        assert!(SecretHash::from_hex(&wrong).is_none(), "{wrong:?}");
    }
}

#[test]
fn an_import_line_is_taken_as_it_is_written_and_a_key_in_its_place_is_refused_as_one() {
    let key = parse("mlabk.cii_acme.ki_x.the-secret").unwrap();
    let line = key.import_line().to_string();
    assert_eq!(line, format!("mlabkh.cii_acme.ki_x.{}", key.secret_hash().to_hex()));
    assert_eq!(line.parse::<ImportLine>(), Ok(key.import_line()));
    let refused = |line: &str| line.parse::<ImportLine>().unwrap_err();
    assert_eq!(refused("mlabk.cii_acme.ki_x.the-secret"), InvalidImportLine::ApiKey);
    for no_line in [&line.replace("mlabkh", "mlab"), &format!("{line}."), &line[1..], ""] {
        assert_eq!(refused(no_line), InvalidImportLine::Form, "{no_line}");
    }
    assert_eq!(
        refused(&line.to_uppercase().replace("MLABKH.CII_ACME.KI_X", "mlabkh.cii_acme.ki_x")),
        InvalidImportLine::Hash
    );
}

#[test]
fn what_is_shown_of_a_key_is_not_its_secret() {
    let key = parse("mlabk.cii_acme.ki_x.the-secret").unwrap();
    let organization = OrganizationApiKey::parse("the-secret".to_owned().into()).unwrap();
    let shown = format!("{key:?} {organization:?} {:?}", key.secret_hash());
    assert!(!shown.contains("the-secret"), "{shown}");
    assert!(!shown.contains(&key.secret_hash().to_hex()), "{shown}");
    assert!(shown.contains("acme") && shown.contains("ki_x"), "{shown}");
}

proptest! {
    #[test]
    fn what_parses_is_written_again_as_it_was(text in r"mlabk\.cii_[^.]{1,9}\.ki_[^.]{1,9}\.[^.]{1,20}") {
        match parse(&text) {
            Ok(key) => {
                let written = key.reveal();
                prop_assert_eq!(written.expose_secret(), text.as_str());
            }
            Err(MalformedKey::IntegrationId(InvalidId::Reserved)) => {}
            Err(reason) => prop_assert!(false, "{}", reason),
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in ".*") {
        if let Ok(key) = parse(&text) {
            prop_assert_eq!(text.split('.').count(), 4);
            prop_assert!(key.key_id().as_str().starts_with("ki_"));
        }
    }
}

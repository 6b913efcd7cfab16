//! The key files of the recorded command lines, made as their names say.

use std::fmt::Write as _;
use std::path::Path;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::golden;

/// Makes `keys/NAME.jwk` in a folder, if that is what the word of a command line ends with.
pub fn make(folder: &Path, word: &str) {
    let Some(name) = word
        .rsplit_once("keys/")
        .and_then(|(_, file)| file.strip_suffix(".jwk"))
        .filter(|name| *name != "nothing")
    else {
        return;
    };
    let path = folder.join("keys").join(name).with_extension("jwk");
    std::fs::create_dir_all(folder.join("keys")).unwrap();
    if name == "folder" {
        std::fs::create_dir_all(path).unwrap();
    } else {
        std::fs::write(path, content(name)).unwrap();
    }
}

/// # Panics
/// When the recording names a file that is not known here.
fn content(name: &str) -> String {
    match name {
        "empty" => String::new(),
        "not-json" => "not json".to_owned(),
        "array" => json!([golden::signing_key()]).to_string(),
        "object" => "{}".to_owned(),
        "null" => "null".to_owned(),
        "pem" => pem(),
        "set" => json!({ "keys": [golden::signing_key()] }).to_string(),
        "rsa1024" | "rsa3072" | "ec" | "eddsa" => golden::text(&format!("keys/{name}.jwk")),
        "ec-alg-rs256" => with("keys/ec.jwk", "alg", "RS256"),
        "ec-alg-es384" => with("keys/ec.jwk", "alg", "ES384"),
        "oct" => symmetric("HS256"),
        "oct-rs256" => symmetric("RS256"),
        "good" => golden::text("signing-key.jwk"),
        "newline" => golden::text("signing-key.jwk") + "\n\n",
        "trailing" => golden::text("signing-key.jwk") + "x",
        "bom" => format!("\u{feff}{}", golden::text("signing-key.jwk")),
        "truncated" => {
            let whole = golden::text("signing-key.jwk");
            whole[..whole.len() / 2].to_owned()
        }
        "public" => without(&["d", "p", "q", "dp", "dq", "qi"]),
        "no-kid" => without(&["kid"]),
        "no-alg" => without(&["alg"]),
        "no-use" => without(&["use"]),
        "no-crt" => without(&["dp", "dq", "qi"]),
        "no-primes" => without(&["p", "q", "dp", "dq", "qi"]),
        "empty-kid" => with("signing-key.jwk", "kid", ""),
        "kid-number" => with("signing-key.jwk", "kid", 1),
        "alg-none" => with("signing-key.jwk", "alg", "none"),
        "alg-unknown" => with("signing-key.jwk", "alg", "XS256"),
        "alg-encryption" => with("signing-key.jwk", "alg", "RSA-OAEP"),
        "alg-es256-on-rsa" => with("signing-key.jwk", "alg", "ES256"),
        "alg-hs256-on-rsa" => with("signing-key.jwk", "alg", "HS256"),
        "ps256" => with("signing-key.jwk", "alg", "PS256"),
        "rs512" => with("signing-key.jwk", "alg", "RS512"),
        "use-enc" => with("signing-key.jwk", "use", "enc"),
        "extra-member" => with("signing-key.jwk", "note", json!({ "made": ["for", "tests", 1] })),
        "padded-base64" => padded(),
        "wrong-crt" => with_a_flipped_bit("dp"),
        "wrong-d" => with_a_flipped_bit("d"),
        unknown => panic!("nobody says what is in keys/{unknown}.jwk"),
    }
}

fn with(file: &str, member: &str, value: impl Into<Value>) -> String {
    let mut key: Value = serde_json::from_str(&golden::text(file)).unwrap();
    key[member] = value.into();
    key.to_string()
}

fn without(members: &[&str]) -> String {
    let mut key = golden::signing_key();
    for member in members {
        key.as_object_mut().unwrap().remove(*member).unwrap();
    }
    key.to_string()
}

fn with_a_flipped_bit(member: &str) -> String {
    let key = golden::signing_key();
    let mut bytes = URL_SAFE_NO_PAD.decode(key[member].as_str().unwrap()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    with("signing-key.jwk", member, URL_SAFE_NO_PAD.encode(bytes))
}

fn padded() -> String {
    let mut key = golden::signing_key();
    for member in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        let mut text = key[member].as_str().unwrap().to_owned();
        text.push_str(&"=".repeat((4 - text.len() % 4) % 4));
        key[member] = text.into();
    }
    key.to_string()
}

fn symmetric(alg: &str) -> String {
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    json!({ "use": "sig", "kty": "oct", "kid": "sym", "alg": alg, "k": secret }).to_string()
}

fn pem() -> String {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    writeln!(pem, "{}", STANDARD.encode(pkcs8)).unwrap();
    pem + "-----END PRIVATE KEY-----\n"
}

//! `scripts/ensure-jwt-secret.sh`: a secret if there is none, and no touch of one that is there.

use std::process::Output;

use serde_json::Value;

use super::gcloud::Gcloud;

const SCRIPT: &str = "ensure-jwt-secret.sh";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_missing_secret_is_created_with_a_fresh_rs256_key() {
    // One whose name only begins so is another one.
    let gcloud =
        Gcloud::new().answers("secrets", "auth-private-key-old\n").answers("may-create", "");
    let output = gcloud.run(SCRIPT, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let key: Value = serde_json::from_str(&gcloud.left("created").unwrap()).unwrap();
    assert_eq!(key["kty"], "RSA");
    assert_eq!(key["alg"], "RS256");
    assert!(key["kid"].is_string() && key["d"].is_string());
    let create = "secrets create auth-private-key --project=mlab-sandbox ";
    assert!(gcloud.was_asked(create), "{:?}", gcloud.calls());
    assert_eq!(gcloud.left_behind(), [""; 0], "the key is still in a folder");
    let printed = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
    assert!(!printed.contains(key["d"].as_str().unwrap()), "{printed}");
}

#[test]
fn the_project_is_the_one_that_was_named() {
    let gcloud = Gcloud::new().answers("secrets", "").answers("may-create", "");
    let output = gcloud.run(SCRIPT, &[("PROJECT_ID", "mlab-oti")]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(gcloud.calls().iter().all(|call| call.contains("--project=mlab-oti")));
}

#[test]
fn a_secret_that_is_there_is_not_touched() {
    let gcloud = Gcloud::new()
        .answers("secrets", "other\nauth-private-key\n")
        .answers("versions", "DISABLED\nENABLED\n")
        .answers("may-create", "");
    let output = gcloud.run(SCRIPT, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let reads = ["secrets list ", "secrets versions list "];
    let only_read = |call: &String| reads.iter().any(|read| call.starts_with(read));
    assert!(gcloud.calls().iter().all(only_read), "{:?}", gcloud.calls());
}

#[test]
fn what_could_not_be_found_out_is_no_missing_secret() {
    let gcloud = Gcloud::new().answers("may-create", "");
    let output = gcloud.run(SCRIPT, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("could not be found out"), "{}", said(&output));
    assert!(!gcloud.was_asked("secrets create"));
}

#[test]
fn a_secret_without_a_version_is_the_operators_to_mend() {
    let gcloud =
        Gcloud::new().answers("secrets", "auth-private-key\n").answers("versions", "DISABLED\n");
    let output = gcloud.run(SCRIPT, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("without an enabled version"), "{}", said(&output));
    assert!(!gcloud.was_asked("secrets create"));
}

#[test]
fn a_creation_that_fails_is_told_and_leaves_no_key_behind() {
    let gcloud = Gcloud::new().answers("secrets", "");
    let output = gcloud.run(SCRIPT, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("could not be created"), "{}", said(&output));
    assert_eq!(gcloud.left_behind(), [""; 0]);
}

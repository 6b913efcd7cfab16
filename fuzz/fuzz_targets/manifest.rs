//! Manifests: whatever the file holds, it is refused, or says the same when it is written again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use token_exchange::manifest::{InvalidManifest, Manifest};

fuzz_target!(|text: &str| {
    let parsed = Manifest::parse(text);
    if text.contains("mlabk.cii_") {
        assert!(matches!(parsed, Err(InvalidManifest::Secret { .. })), "an API key in a manifest");
    }
    let Ok(manifest) = parsed else { return };
    let yaml = manifest.to_yaml().expect("what was read can be written");
    assert_eq!(Manifest::parse(&yaml).as_ref(), Ok(&manifest), "{yaml}");
    let json = manifest.to_json().expect("what was read can be written");
    assert_eq!(Manifest::parse(&json).as_ref(), Ok(&manifest), "{json}");
});

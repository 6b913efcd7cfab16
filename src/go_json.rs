//! Writes JSON byte for byte as Go's `encoding/json` does: compact, with `<`, `>`, `&`, U+2028
//! and U+2029 escaped. Tokens are compared with those of the Go service down to the last byte.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Serializes a value. Maps keep the order in which they are given.
///
/// # Errors
/// When the value cannot be JSON: a map with keys that are no strings, for instance.
pub(crate) fn to_vec(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut json, GoFormatter))?;
    Ok(json)
}

struct GoFormatter;

impl Formatter for GoFormatter {
    fn write_string_fragment<W>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()>
    where
        W: ?Sized + io::Write,
    {
        // Nearly all text holds none of them, and bytes are looked through faster than characters.
        // The separators of lines begin with E2.
        if !fragment.bytes().any(|byte| matches!(byte, b'<' | b'>' | b'&' | 0xE2)) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, special) = rest.split_at(at);
            let mut chars = special.chars();
            let escape = chars.next().map_or(0, u32::from);
            write!(writer, "{plain}\\u{escape:04x}")?;
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_line_separators_are_escaped_as_go_escapes_them() {
        let json = to_vec(&"a<b>&\"'\u{2028}\u{2029}\\é🔑\n\t\u{1}\u{8}\u{c}").unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#""a\u003cb\u003e\u0026\"'\u2028\u2029\\é🔑\n\t\u0001\b\f""#
        );
    }
}

//! Comparing without ending the test, for tests that collect all that differs.

use std::fmt::Debug;

/// The error says what differs and how.
pub fn equal<T: Debug + PartialEq + ?Sized>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Result<(), String> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("{what} is {actual:?}, expected {expected:?}"))
    }
}

//! Addresses of servers, as recipes name them.

use espalier_search::ConfigError;

/// Checks that `url` is a whole address of HTTP without a password; `instead` says where a secret belongs.
///
/// # Errors
/// Names the field, and repeats the address unless it may hold a secret.
pub(crate) fn check_url(field: &'static str, url: &str, instead: &str) -> Result<(), ConfigError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // The value is not repeated: it may hold a password.
    let secret = authority.contains('@');
    ConfigError::require(!secret, field, &"...@...", &format!("must hold no password; {instead}"))?;
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    let usable = plain && !authority.is_empty() && matches!(scheme, "http" | "https");
    let requirement = "must be a whole address that begins with http:// or https://";
    ConfigError::require(usable, field, &format!("{url:?}"), requirement)
}

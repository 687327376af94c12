//! What the command line tells of errors.

use anyhow::Error;

/// What was asked for cannot be done as it was asked: wrong usage or recipe, known before anything ran. The program ends with exit
/// status 2; any other error is one of running, status 3.
#[derive(Debug, thiserror::Error)]
#[error("{}", told(.0))]
pub struct UsageError(pub Error);

/// An error with its causes in one line. What a message says of its cause is not said again.
#[must_use]
pub fn told(error: &Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) && !line.contains(&format!(": {cause}")) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read a.json: {0}")]
    struct Wordy(#[source] std::io::Error);

    #[test]
    fn each_cause_is_told_once() {
        let cause = || std::io::Error::other("the disk is gone");
        let wordy = Err::<(), _>(Wordy(cause())).context("round 3").unwrap_err();
        assert_eq!(told(&wordy), "round 3: cannot read a.json: the disk is gone");
        let usage = Error::from(UsageError(wordy)).context("--out");
        assert_eq!(told(&usage), "--out: round 3: cannot read a.json: the disk is gone");
        let plain = Err::<(), _>(cause()).context("the disk").unwrap_err();
        assert_eq!(told(&plain), "the disk: the disk is gone");
        assert_eq!(told(&anyhow!("alone")), "alone");
    }
}

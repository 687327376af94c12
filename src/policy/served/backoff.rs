//! How long to wait before a request is sent again.

use std::time::{Duration, SystemTime};

use espalier_search::derive_seed;

use crate::policy::config::HttpConfig;

/// The wait before repetition `repetition` (0 the first): doubling, bounded, and drawn from its upper half, so that requests that
/// failed together do not come back together. The draw is a function of the seed.
pub(super) fn wait(config: &HttpConfig, repetition: u32, seed: u64) -> Duration {
    let doubled = config.backoff_seconds * f64::from(repetition.min(60)).exp2();
    let drawn = derive_seed(seed, u64::from(repetition)) as f64 / u64::MAX as f64;
    let seconds = doubled.min(config.max_backoff_seconds) * (0.5 + 0.5 * drawn);
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::ZERO)
}

/// What a `Retry-After` header asks for: seconds, or a date (RFC 9110, 10.2.3). `None` when it is neither.
pub(super) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(header).ok()?;
    Some(date.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_their_bound_and_follow_the_seed() {
        let config =
            HttpConfig { backoff_seconds: 1.0, max_backoff_seconds: 10.0, ..HttpConfig::default() };
        for (repetition, whole) in [(0, 1.0), (1, 2.0), (3, 8.0), (4, 10.0), (u32::MAX, 10.0)] {
            for seed in 0..20 {
                let wait = wait(&config, repetition, seed).as_secs_f64();
                assert!((0.5 * whole..=whole).contains(&wait), "{repetition}: {wait}");
            }
        }
        assert_eq!(wait(&config, 2, 7), wait(&config, 2, 7));
        assert_ne!(wait(&config, 2, 7), wait(&config, 2, 8));
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        let now = httpdate::parse_http_date("Tue, 15 Nov 1994 08:12:31 GMT").unwrap();
        let seconds = |header| retry_after(header, now).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds("3"), Some(3.0));
        assert_eq!(seconds(" 0.5 "), Some(0.5));
        assert_eq!(seconds("Tue, 15 Nov 1994 08:12:41 GMT"), Some(10.0));
        assert_eq!(seconds("Tue, 15 Nov 1994 08:12:01 GMT"), Some(0.0));
        for bad in ["", "soon", "-1", "nan", "inf"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}

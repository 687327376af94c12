//! Settings of an executor.

use std::time::Duration;

use espalier_search::ConfigError;
use serde::{Deserialize, Serialize};

/// Who runs code, and within which limits. [`ExecutorConfig::workers`] and [`ExecutorConfig::live_states`] never change what comes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExecutorConfig {
    /// Which interpreter.
    pub kind: ExecutorKind,
    /// Longest run of a step, in seconds; a step that is run again for a descendant has as long again.
    pub timeout_seconds: f64,
    /// Memory that a step may take beyond the bare interpreter's, in MiB.
    pub memory_megabytes: u64,
    /// Longest observation in characters: of a longer one the first and the last half stay, with `...` between.
    pub max_output: usize,
    /// Most steps that run at once; 0 takes the recipe's `compute.threads`, and without one the number of cores.
    pub workers: usize,
    /// CPython alone: the interpreter; sympy is there if it can import it.
    pub python: String,
    /// CPython alone: most interpreter states that a worker keeps as processes to fork; others are made again by replay.
    pub live_states: usize,
    /// CPython alone: run code without a sandbox, with the rights of the user and the limits of time and memory alone.
    pub unsafe_no_sandbox: bool,
}

/// Which interpreter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// The machine's own Python in a sandbox where that can be, and the embedded interpreter elsewhere.
    Auto,
    /// The crate monty: of Python what it surely runs as CPython does, in this program, without sympy.
    Embedded,
    /// The machine's own Python, in a sandbox.
    Cpython,
}

impl Default for ExecutorConfig {
    fn default() -> Self {
        Self {
            kind: ExecutorKind::Auto,
            timeout_seconds: 15.0,
            memory_megabytes: 512,
            max_output: 500,
            workers: 0,
            python: "python3".to_owned(),
            live_states: 32,
            unsafe_no_sandbox: false,
        }
    }
}

/// What a step may print in all, in bytes.
pub(super) const PRINT_LIMIT: usize = 1 << 20;

/// Why a build without the feature `cpython` does not run CPython.
pub(super) fn no_cpython() -> ConfigError {
    let requirement = "needs a program that was built with the feature `cpython`".to_owned();
    ConfigError { field: "kind", value: "\"cpython\"".to_owned(), requirement }
}

impl ExecutorConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.kind == ExecutorKind::Cpython && !cfg!(feature = "cpython") {
            return Err(no_cpython());
        }
        let time = self.timeout_seconds > 0.0 && self.timeout_seconds <= 3600.0;
        let requirement = "must be > 0 and at most an hour, in seconds";
        ConfigError::require(time, "timeout_seconds", &self.timeout_seconds, requirement)?;
        let memory = (16..=1 << 20).contains(&self.memory_megabytes);
        let requirement = "must be at least 16 and at most 1048576, in MiB";
        ConfigError::require(memory, "memory_megabytes", &self.memory_megabytes, requirement)?;
        let output = (10..=4000).contains(&self.max_output);
        let requirement = "must be at least 10 and at most 4000 characters";
        ConfigError::require(output, "max_output", &self.max_output, requirement)?;
        ConfigError::require(
            self.workers <= 1024,
            "workers",
            &self.workers,
            "must be at most 1024",
        )?;
        let named = !self.python.is_empty() && !self.python.contains('\0');
        ConfigError::require(
            named,
            "python",
            &format!("{:?}", self.python),
            "must name an interpreter",
        )?;
        ConfigError::require(
            self.live_states <= 1024,
            "live_states",
            &self.live_states,
            "must be at most 1024",
        )
    }

    /// The settings with so many workers where they name no number.
    #[must_use]
    pub fn on(&self, cores: usize) -> Self {
        let workers = if self.workers > 0 { self.workers } else { cores };
        Self { workers, ..self.clone() }
    }

    /// The number of workers that 0 stands for.
    pub(super) fn resolved_workers(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_secs_f64(self.timeout_seconds)
    }

    #[cfg(feature = "cpython")]
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_megabytes << 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ExecutorConfig, String> {
        let config: ExecutorConfig = toml::from_str(text).map_err(|error| error.to_string())?;
        config.validate().map_err(|error| error.to_string())?;
        Ok(config)
    }

    #[test]
    fn a_section_is_read_strictly_and_wrong_values_are_named() {
        assert_eq!(parse("").unwrap(), ExecutorConfig::default());
        let config =
            parse("kind = \"cpython\"\ntimeout_seconds = 2\nunsafe_no_sandbox = true").unwrap();
        assert_eq!(
            (config.kind, config.timeout()),
            (ExecutorKind::Cpython, Duration::from_secs(2))
        );
        for (text, part) in [
            ("kind = \"pypy\"", "unknown variant `pypy`"),
            ("timeout = 3", "unknown field `timeout`"),
            ("timeout_seconds = 0", "timeout_seconds = 0"),
            ("timeout_seconds = nan", "timeout_seconds = NaN"),
            ("timeout_seconds = 1e9", "timeout_seconds = 1000000000"),
            ("memory_megabytes = 1", "memory_megabytes = 1"),
            ("max_output = 0", "max_output = 0"),
            ("workers = 5000", "workers = 5000"),
            ("python = \"\"", "python = \"\""),
            ("live_states = 5000", "live_states = 5000"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_recipe_s_cores_are_taken_where_no_number_is_named() {
        assert_eq!(parse("").unwrap().on(3).workers, 3);
        assert_eq!(parse("workers = 5").unwrap().on(3).workers, 5);
    }
}

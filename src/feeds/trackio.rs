//! A trackio server (0.43), told by its `POST /api/bulk_log`. Its token is taken from the environment, as trackio's own client does: a recipe
//! lies beside the results for all to read.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use ureq::Agent;

use super::TrackioRecipe;
use super::scalars::Scalar;
use crate::jsonl::identity;
use crate::place::{in_full, name_of};
use crate::report::one_line::one_line;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The variable with the token that lets a program write to a server, and the header that carries it.
const TOKEN: &str = "TRACKIO_WRITE_TOKEN";
const TOKEN_HEADER: &str = "X-Trackio-Write-Token";
/// Characters of a refusal that are shown.
const REFUSAL: usize = 300;

/// A run on a server.
pub(super) struct Trackio {
    agent: Agent,
    token: Option<String>,
    address: String,
    project: String,
    run: String,
    place: PathBuf,
    /// Rows that the server has not taken yet.
    pending: Vec<Value>,
}

impl Trackio {
    pub fn new(recipe: &TrackioRecipe, run: &Path, name: &str) -> Self {
        let TrackioRecipe { url, project } = recipe;
        let place = in_full(run);
        Self {
            agent: Agent::config_builder()
                .timeout_global(Some(TIMEOUT))
                // The token is for this server alone.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .http_status_as_error(false)
                .build()
                .into(),
            token: env::var(TOKEN).ok(),
            address: format!("{}/api/bulk_log", url.trim_end_matches('/')),
            project: if project.is_empty() { name.to_owned() } else { project.clone() },
            run: name_of(run).unwrap_or_else(|| name.to_owned()),
            place,
            pending: Vec::new(),
        }
    }

    /// Sends numbers, one row a step, behind those that could not be sent before.
    pub fn log(&mut self, scalars: &[Scalar]) -> Result<()> {
        let mut rows: BTreeMap<i64, Map<String, Value>> = BTreeMap::new();
        for Scalar { tag, step, value } in scalars {
            rows.entry(*step).or_default().insert(tag.clone(), json!(value));
        }
        let Self { project, run, place, .. } = self;
        for (step, metrics) in rows {
            // The server drops a row whose id it has in the project, without a word: so one that is told again, and no other.
            let log_id = identity(&(&place, step, &metrics))?;
            self.pending.push(json!({"project": project, "run": run, "step": step,
                "metrics": metrics, "log_id": log_id}));
        }
        // The token of a hosted server must be there, if only as null.
        let body = json!({"logs": self.pending, "hf_token": null}).to_string();
        let mut request = self.agent.post(&self.address).content_type("application/json");
        if let Some(token) = &self.token {
            request = request.header(TOKEN_HEADER, token);
        }
        let cannot = || format!("cannot reach {}", self.address);
        let mut answer = request.send(body).with_context(cannot)?;
        if !answer.status().is_success() {
            let said = answer.body_mut().read_to_string().unwrap_or_default();
            bail!("{} answers {}: {}", self.address, answer.status(), one_line(&said, REFUSAL));
        }
        self.pending.clear();
        Ok(())
    }
}

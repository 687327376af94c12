//! The `[policy]` section of kind `completions`.

use std::path::PathBuf;

use espalier_search::ConfigError;
use serde::{Deserialize, Serialize};

use super::prm::PrmRecipe;
use crate::address::check_url;
use crate::kinds::kind_or_default;

/// A policy behind `POST /v1/completions`.
///
/// `top_p`, `top_k` and `min_p` are always sent. By default they cut nothing off: the policy's own distribution is what AlphaMath
/// samples from, and a server's defaults (llama.cpp: top-k 40, top-p 0.95, min-p 0.05) would silently change it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompletionsRecipe {
    /// The whole address.
    pub url: String,
    /// The model as the server knows it.
    pub model: String,
    /// Put before every context: instructions or worked examples in the form of the environment's steps.
    pub preamble: String,
    /// Longest step in tokens; one that has not ended by then is cut off.
    pub max_tokens: usize,
    /// What ends a step; empty takes the environment's own.
    pub stop: Vec<String>,
    /// Share of the probability that is sampled from, in (0, 1]; 1 takes all.
    pub top_p: f64,
    /// How many of the likeliest tokens are sampled from; -1 takes all.
    pub top_k: i64,
    /// Least probability of a sampled token, as a share of the likeliest one's, in [0, 1]; 0 takes all.
    pub min_p: f64,
    /// Most samples in one request; more are asked for in several. 0 sets no bound. llama.cpp answers at most as many as it
    /// has slots (`--parallel`).
    pub samples_per_request: usize,
    /// Asks `POST /v1/chat/completions` instead: the assistant's answer is the steps so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatApiRecipe>,
    /// Who values states.
    #[serde(deserialize_with = "kind_or_default")]
    pub value: ValueRecipe,
    /// The HTTP client's settings; results do not depend on them.
    pub http: HttpConfig,
}

/// How a question is put to a chat model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatApiRecipe {
    /// The system's turn; empty: none.
    pub system: String,
    /// The user's turn, with `{question}` in it.
    pub user: String,
}

impl Default for ChatApiRecipe {
    fn default() -> Self {
        Self { system: String::new(), user: "{question}".to_owned() }
    }
}

impl Default for CompletionsRecipe {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8000/v1/completions".to_owned(),
            model: String::new(),
            preamble: String::new(),
            max_tokens: 256,
            stop: Vec::new(),
            top_p: 1.0,
            top_k: -1,
            min_p: 0.0,
            samples_per_request: 0,
            chat: None,
            value: ValueRecipe::default(),
            http: HttpConfig::default(),
        }
    }
}

impl CompletionsRecipe {
    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        check_url("url", &self.url, KEY)?;
        check_model("model", &self.model)?;
        self.check_chat()?;
        ConfigError::require(self.max_tokens >= 1, "max_tokens", &self.max_tokens, "must be >= 1")?;
        let blank = self.stop.iter().any(String::is_empty);
        ConfigError::require(
            !blank,
            "stop",
            &format!("{:?}", self.stop),
            "must hold no empty string",
        )?;
        ConfigError::require(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "top_p",
            &self.top_p,
            "must be in (0, 1]",
        )?;
        let top_k = self.top_k == -1 || self.top_k >= 1;
        ConfigError::require(top_k, "top_k", &self.top_k, "must be >= 1, or -1 for all tokens")?;
        ConfigError::require(
            (0.0..=1.0).contains(&self.min_p),
            "min_p",
            &self.min_p,
            "must be in [0, 1]",
        )?;
        self.http.validate([
            "http.api_key_env",
            "http.max_in_flight",
            "http.connect_seconds",
            "http.request_seconds",
            "http.backoff_seconds",
            "http.max_backoff_seconds",
        ])?;
        ConfigError::require(
            !matches!(self.value, ValueRecipe::Own(_)),
            "value.kind",
            &"\"own\"",
            "must be none, checkpoint, pooling or prm: a served policy has no value head",
        )?;
        self.value.validate()
    }
}

impl CompletionsRecipe {
    fn check_chat(&self) -> Result<(), ConfigError> {
        let is_chat = self.url.trim_end_matches('/').ends_with("/chat/completions");
        let Some(chat) = &self.chat else {
            let requirement = "ends with /chat/completions, where steps are asked for by [policy.chat], which is absent";
            return ConfigError::require(!is_chat, "url", &format!("{:?}", self.url), requirement);
        };
        let requirement = "must end with /chat/completions beside [policy.chat]";
        ConfigError::require(is_chat, "url", &format!("{:?}", self.url), requirement)?;
        ConfigError::require(
            chat.user.matches("{question}").count() == 1,
            "chat.user",
            &format!("{:?}", chat.user),
            "must hold {question} once",
        )?;
        ConfigError::require(
            self.preamble.is_empty(),
            "preamble",
            &format!("{:?}", self.preamble),
            "must be empty beside [policy.chat], whose system and user say the same",
        )
    }
}

/// `[policy.value]`: who values states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ValueRecipe {
    /// The value head of the local net that also writes the steps.
    Own(NoValueRecipe),
    /// No values: every state is worth 0, as in AlphaMath's first round.
    None(NoValueRecipe),
    /// The value head of another local net.
    Checkpoint(ValueCheckpointRecipe),
    /// A reward model behind vLLM's `POST /pooling` that is asked in the policy's own text.
    Pooling(Box<PoolingRecipe>),
    /// A process reward model.
    Prm(Box<PrmRecipe>),
}

impl Default for ValueRecipe {
    fn default() -> Self {
        Self::None(NoValueRecipe::default())
    }
}

impl ValueRecipe {
    /// The local net's own value head.
    #[must_use]
    pub fn own() -> Self {
        Self::Own(NoValueRecipe::default())
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first key that is wrong.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Own(_) | Self::None(_) | Self::Checkpoint(_) => Ok(()),
            Self::Pooling(pooling) => pooling.validate(),
            Self::Prm(prm) => prm.validate(),
        }
    }
}

/// No settings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoValueRecipe {}

/// A local value net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValueCheckpointRecipe {
    /// The checkpoint folder; `--checkpoint` names another.
    pub path: Option<PathBuf>,
}

/// A reward model behind vLLM's `POST /pooling`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolingRecipe {
    /// The whole address; vLLM serves it at the root, without `/v1`.
    pub url: String,
    /// The model as the server knows it.
    pub model: String,
    /// What the model gives.
    pub task: PoolingTask,
    /// From the model's number to a value.
    pub mapping: ValueMapping,
    /// Put after every context: the step tag of a process reward model, such as `<extra_0>`.
    pub suffix: String,
    /// The HTTP client's settings; results do not depend on them.
    pub http: HttpConfig,
}

impl Default for PoolingRecipe {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8001/pooling".to_owned(),
            model: String::new(),
            task: PoolingTask::Classify,
            mapping: ValueMapping::Tanh,
            suffix: String::new(),
            http: HttpConfig::default(),
        }
    }
}

impl PoolingRecipe {
    fn validate(&self) -> Result<(), ConfigError> {
        check_server(&self.url, &self.model, &self.http)
    }
}

/// What a reward model gives, under vLLM's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolingTask {
    /// One row of labels a text (`...ForSequenceClassification`).
    Classify,
    /// One row a token or step tag, of which the last is taken (`...ForRewardModel`, `...ForProcessRewardModel`).
    TokenClassify,
}

/// From a reward model's number to a value in [-1, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueMapping {
    /// `tanh` of the raw number: AlphaMath's value head.
    Tanh,
    /// The raw number, cut off at -1 and 1.
    Identity,
    /// `2 p - 1` of the probability that the model's own activation gives (sigmoid, or softmax's last label).
    Probability,
}

impl ValueMapping {
    /// The value in [-1, 1].
    #[must_use]
    pub fn apply(self, number: f64) -> f64 {
        match self {
            Self::Tanh => number.tanh(),
            Self::Identity => number.clamp(-1.0, 1.0),
            Self::Probability => (2.0 * number - 1.0).clamp(-1.0, 1.0),
        }
    }
}

/// Settings of an HTTP client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfig {
    /// The environment variable that holds the API key, sent as `Authorization: Bearer`; empty sends none. The key itself is
    /// written to no file.
    pub api_key_env: String,
    /// Most requests on their way at once, over all searches, up to 4096; others wait.
    pub max_in_flight: usize,
    /// Most requests begun in a minute, evenly spaced; 0 sets no bound.
    pub requests_per_minute: u32,
    /// Longest wait for a connection, in seconds.
    pub connect_seconds: f64,
    /// Longest wait for a whole answer, in seconds.
    pub request_seconds: f64,
    /// How often a request that failed for a passing reason is sent again.
    pub retries: u32,
    /// Wait before the first repetition, in seconds; it doubles with each. A server's `Retry-After` goes before it.
    pub backoff_seconds: f64,
    /// Longest such wait, in seconds.
    pub max_backoff_seconds: f64,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            api_key_env: String::new(),
            max_in_flight: 32,
            requests_per_minute: 0,
            connect_seconds: 10.0,
            request_seconds: 300.0,
            retries: 6,
            backoff_seconds: 0.5,
            max_backoff_seconds: 30.0,
        }
    }
}

/// Most requests in flight in a setting: each has a thread that waits for it.
const MOST_IN_FLIGHT: usize = 4096;
/// Longest time in a setting, in seconds: a day.
const LONGEST: f64 = 86_400.0;

impl HttpConfig {
    /// `keys`: the names of the checked fields as they stand in the recipe.
    fn validate(&self, keys: [&'static str; 6]) -> Result<(), ConfigError> {
        let [api_key_env, max_in_flight, connect, request, backoff, max_backoff] = keys;
        let name = &self.api_key_env;
        let usable = !name.contains(['=', '\0', ' ']);
        ConfigError::require(
            usable,
            api_key_env,
            name,
            "must be the name of an environment variable",
        )?;
        let fits = (1..=MOST_IN_FLIGHT).contains(&self.max_in_flight);
        let requirement = format!("must be at least 1 and at most {MOST_IN_FLIGHT}");
        ConfigError::require(fits, max_in_flight, &self.max_in_flight, &requirement)?;
        for (key, seconds) in [(connect, self.connect_seconds), (request, self.request_seconds)] {
            let fits = seconds > 0.0 && seconds <= LONGEST;
            ConfigError::require(fits, key, &seconds, "must be > 0 and at most a day, in seconds")?;
        }
        for (key, seconds) in
            [(backoff, self.backoff_seconds), (max_backoff, self.max_backoff_seconds)]
        {
            let fits = (0.0..=LONGEST).contains(&seconds);
            ConfigError::require(
                fits,
                key,
                &seconds,
                "must be >= 0 and at most a day, in seconds",
            )?;
        }
        Ok(())
    }
}

/// Checks where `[policy.value]` is served.
pub(super) fn check_server(url: &str, model: &str, http: &HttpConfig) -> Result<(), ConfigError> {
    check_url("value.url", url, KEY)?;
    check_model("value.model", model)?;
    http.validate([
        "value.http.api_key_env",
        "value.http.max_in_flight",
        "value.http.connect_seconds",
        "value.http.request_seconds",
        "value.http.backoff_seconds",
        "value.http.max_backoff_seconds",
    ])
}

/// Where an API key belongs.
const KEY: &str = "name a variable in api_key_env";

fn check_model(field: &'static str, model: &str) -> Result<(), ConfigError> {
    let requirement = "must name the model as the server knows it (its /v1/models lists them)";
    ConfigError::require(!model.is_empty(), field, &format!("{model:?}"), requirement)
}

#[cfg(all(test, feature = "served"))]
mod tests {
    use super::*;
    use crate::policy::kind::PolicyRecipe;

    fn parse(text: &str) -> Result<PolicyRecipe, String> {
        let recipe: PolicyRecipe = toml::from_str(text).map_err(|error| error.to_string())?;
        recipe.kind().validate().map_err(|error| error.to_string())?;
        Ok(recipe)
    }

    #[test]
    fn a_section_is_read_strictly_and_wrong_values_are_named() {
        assert_eq!(parse("kind = \"local\"").unwrap(), PolicyRecipe::default());
        let PolicyRecipe::Completions(recipe) =
            parse("kind = \"completions\"\nmodel = \"m\"\ntop_p = 1").unwrap()
        else {
            panic!("another kind");
        };
        let expected = CompletionsRecipe { model: "m".into(), ..CompletionsRecipe::default() };
        assert_eq!(*recipe, expected);
        for (text, part) in [
            ("kind = \"local\"\nurl = \"x\"", "unknown field `url`"),
            ("kind = \"completions\"", "model = \"\""),
            ("kind = \"completions\"\nmodle = \"m\"", "unknown field `modle`"),
            ("kind = \"completions\"\nmodel = \"m\"\nurl = \"host:1/v1\"", "url = "),
            ("kind = \"completions\"\nmodel = \"m\"\nurl = \"ftp://host/\"", "url = "),
            ("kind = \"completions\"\nmodel = \"m\"\ntop_p = 0", "top_p = 0"),
            ("kind = \"completions\"\nmodel = \"m\"\ntop_k = 0", "top_k = 0"),
            ("kind = \"completions\"\nmodel = \"m\"\nmin_p = nan", "min_p = NaN"),
            ("kind = \"completions\"\nmodel = \"m\"\nstop = [\"\"]", "stop = "),
            ("kind = \"completions\"\nmodel = \"m\"\nhttp.retrys = 1", "unknown field `retrys`"),
            ("kind = \"completions\"\nmodel = \"m\"\nhttp.max_in_flight = 0", "http.max_in_flight"),
            (
                "kind = \"completions\"\nmodel = \"m\"\nhttp.request_seconds = inf",
                "request_seconds",
            ),
            ("kind = \"completions\"\nmodel = \"m\"\nvalue.kind = \"pooling\"", "value.model"),
            (
                "kind = \"completions\"\nmodel = \"m\"\nvalue = {kind = \"none\", path = \"p\"}",
                "`path`",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let error =
            parse("kind = \"completions\"\nmodel = \"m\"\nurl = \"https://me:secret@host/v1\"")
                .unwrap_err();
        assert!(error.contains("api_key_env") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn every_mapping_stays_within_the_range_of_values() {
        for mapping in [ValueMapping::Tanh, ValueMapping::Identity, ValueMapping::Probability] {
            for number in [-1e300, -3.0, -0.2, 0.0, 0.5, 7.0, 1e300] {
                assert!((-1.0..=1.0).contains(&mapping.apply(number)), "{mapping:?} {number}");
            }
        }
        assert_eq!(ValueMapping::Probability.apply(0.75), 0.5);
        assert_eq!(ValueMapping::Tanh.apply(0.3), 0.3f64.tanh());
        assert_eq!(ValueMapping::Identity.apply(-0.3), -0.3);
    }
}

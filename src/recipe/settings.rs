//! Every key that a recipe can have, with its default, read off the recipe's own types.
//!
//! A type says its names where it is given a wrong one ("expected one of ...") and its required fields where they are missing, so that
//! a new kind of anything is listed as soon as a recipe can name it.

use serde::Serialize;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::Recipe;
use super::load::complete_problems;
use super::overrides::set_value;

/// One key of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// Dotted name of its section; empty at the top.
    pub section: String,
    /// The section's `kind` to which the key belongs, where a section has kinds with keys of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name in the section.
    pub key: String,
    /// What stands for it where it is left out; null for absent.
    pub default: Json,
    /// Whether it must be given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// What it may be, where it is a name out of a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Setting {
    /// The default as it would stand in a recipe; `required`, or `absent`.
    #[must_use]
    pub fn default_text(&self) -> String {
        match &self.default {
            _ if self.required => "required".to_owned(),
            Json::Null => "absent".to_owned(),
            value => value.to_string(),
        }
    }
}

/// Ends the path of a list's first element.
const ELEMENT: &str = ".0";

/// Most required fields of a section.
const MOST_REQUIRED: usize = 8;

/// Every key, section by section in the recipe's order, for every kind that a section can be of. The problems that another environment
/// than the default generates are of kind `generated:ENVIRONMENT`.
#[must_use]
pub fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    let top = Section::default();
    top.keys(&mut settings);
    let default = read(&top.table).ok().and_then(|recipe| at(&recipe, "environment.kind").cloned());
    for name in names(&top.table, "environment.kind") {
        let kind = Table::from_iter([("kind".to_owned(), Value::String(name.clone()))]);
        let generated = Table::from_iter([("kind".to_owned(), Value::String("generated".into()))]);
        let section = top.with("environment", kind);
        let section = section.and_then(|section| section.with("problems", generated));
        if let Some(section) = section.filter(|_| default != Some(Json::String(name.clone()))) {
            let kind = Some(format!("generated:{name}"));
            Section { kind, ..section }.keys(&mut settings);
        }
    }
    // A section that several kinds of another have is listed with each.
    let mut seen = std::collections::HashSet::new();
    settings.retain(|one| seen.insert((one.section.clone(), one.kind.clone(), one.key.clone())));
    settings
}

/// A section of the shortest recipe that has it.
#[derive(Default)]
struct Section {
    table: Table,
    path: String,
    kind: Option<String>,
    /// Its keys that must be given.
    required: Vec<String>,
}

impl Section {
    /// Its keys with their defaults; null for those that are left out of what is written where they are absent.
    fn defaults(&self) -> Vec<(String, Json)> {
        let Ok(recipe) = read(&self.table) else { return Vec::new() };
        let Some(Json::Object(keys)) = at(&recipe, &self.path) else { return Vec::new() };
        let mut defaults: Vec<(String, Json)> =
            keys.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        for key in known(&self.table, &self.path_of("?"), "unknown field `?`, expected ") {
            if !keys.contains_key(&key) && !self.refuses(&key) {
                defaults.push((key, Json::Null));
            }
        }
        defaults
    }

    /// Whether a key is known to be none here: it has one answer to every value.
    fn refuses(&self, key: &str) -> bool {
        let answer = |value| {
            let mut table = self.table.clone();
            put(&mut table, &self.path_of(key), value)?;
            read(&table).err()
        };
        let answers = examples().map(answer);
        answers[0].is_some() && answers.windows(2).all(|pair| pair[0] == pair[1])
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Adds its keys and those of the sections in it.
    fn keys(&self, settings: &mut Vec<Setting>) {
        let mut sections = Vec::new();
        for (key, default) in self.defaults() {
            let path = self.path_of(&key);
            if key == "kind" && self.kind.is_some() {
                continue;
            }
            let inner = match &default {
                Json::Object(keys) if keys.is_empty() => None,
                Json::Object(_) => Some(Self {
                    path: path.clone(),
                    table: self.table.clone(),
                    kind: None,
                    required: Vec::new(),
                }),
                Json::Null => {
                    let section = self.with(&path, Table::new());
                    section.or_else(|| self.with(&element_of(&path), Table::new()))
                }
                Json::Array(_) => self.with(&element_of(&path), Table::new()),
                _ => None,
            };
            match inner {
                Some(inner) if default.is_object() => sections.push(inner),
                inner => {
                    let required = self.required.contains(&key);
                    let section = self.path.trim_end_matches(ELEMENT).to_owned();
                    let kind = self.kind.clone();
                    let names = names(&self.table, &path);
                    settings.push(Setting { section, kind, key, default, required, names });
                    sections.extend(inner);
                }
            }
        }
        for section in sections {
            let kinds = section.kinds();
            if kinds.is_empty() {
                section.keys(settings);
            }
            kinds.iter().for_each(|kind| kind.keys(settings));
        }
    }

    /// Itself as each of its kinds; none where kinds make no difference to its keys.
    fn kinds(&self) -> Vec<Self> {
        let names = names(&self.table, &self.path_of("kind"));
        let kinds = names.into_iter().filter_map(|name| {
            let table = Table::from_iter([("kind".to_owned(), Value::String(name.clone()))]);
            let kind = self.with(&self.path, table.clone());
            // An environment that makes no problems reads them.
            let kind = kind.or_else(|| self.reading().with(&self.path, table))?;
            Some(Self { kind: Some(name), ..kind })
        });
        let kinds: Vec<Self> = kinds.collect();
        let keys = |section: &Self| section.defaults().into_iter().map(|(key, _)| key).collect();
        let keys: Vec<Vec<String>> = kinds.iter().map(keys).collect();
        if kinds.len() > 1 && keys.windows(2).all(|pair| pair[0] == pair[1]) {
            return Vec::new();
        }
        kinds
    }

    /// The same in a recipe whose problems come out of a file.
    fn reading(&self) -> Self {
        let file = [("kind", "jsonl"), ("path", "x")];
        let file = file.map(|(key, value)| (key.to_owned(), Value::String(value.to_owned())));
        let mut table = self.table.clone();
        table.insert("problems".to_owned(), Value::Table(Table::from_iter(file)));
        Self { table, path: self.path.clone(), kind: self.kind.clone(), required: Vec::new() }
    }

    /// A section that holds so much and what it must; `None` where there can be no section.
    fn with(&self, path: &str, mut content: Table) -> Option<Self> {
        let mut required = Vec::new();
        let written = |content: &Table| {
            let mut table = self.table.clone();
            put(&mut table, path, Value::Table(content.clone()))?;
            Some(table)
        };
        for _ in 0..MOST_REQUIRED {
            let table = written(&content)?;
            match read(&table) {
                Ok(recipe) => {
                    let is_section = matches!(at(&recipe, path), Some(Json::Object(_)));
                    return is_section.then(|| Self {
                        table,
                        path: path.to_owned(),
                        kind: None,
                        required,
                    });
                }
                Err(error) => {
                    let field = quoted(error.split_once("missing field ")?.1).next()?.to_owned();
                    let fits = |value: &Value| {
                        let mut content = content.clone();
                        content.insert(field.clone(), value.clone());
                        let read = written(&content).map(|table| read(&table));
                        // What comes next is about another field.
                        read.is_some_and(|read| {
                            read.err().is_none_or(|error| error.contains("missing field "))
                        })
                    };
                    let mut filled = content.clone();
                    filled.insert(field.clone(), Value::String("?".to_owned()));
                    let named = written(&filled).map(|table| {
                        expected(&read(&table).err().unwrap_or_default(), UNKNOWN_NAME)
                    });
                    let named = named.into_iter().flatten().map(Value::String);
                    let value = named.chain(examples()).find(fits)?;
                    content.insert(field.clone(), value);
                    required.push(field);
                }
            }
        }
        None
    }
}

fn element_of(path: &str) -> String {
    [path, ELEMENT].concat()
}

/// A value of each type.
fn examples() -> [Value; 5] {
    [
        Value::String("x".to_owned()),
        Value::Integer(1),
        Value::Float(0.5),
        Value::Array(Vec::new()),
        Value::Table(Table::new()),
    ]
}

/// The whole recipe of a table, unchecked, or why there is none.
fn read(table: &Table) -> Result<Json, String> {
    let mut recipe: Recipe =
        Value::Table(table.clone()).try_into().map_err(|e: toml::de::Error| e.to_string())?;
    complete_problems(&mut recipe).map_err(|error| format!("{error:#}"))?;
    // By way of text, which has the shortest form of every number.
    let text = serde_json::to_string(&recipe).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

fn at<'a>(recipe: &'a Json, path: &str) -> Option<&'a Json> {
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    parts.try_fold(recipe, |value, part| match value {
        Json::Array(values) => values.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

/// Sets a value at a path, which may lead through the first element of a list.
fn put(table: &mut Table, path: &str, value: Value) -> Option<()> {
    if let Some(list) = path.strip_suffix(ELEMENT) {
        return set_value(table, list, Value::Array(vec![value])).ok();
    }
    let Some((list, rest)) = path.split_once(".0.") else {
        return set_value(table, path, value).ok();
    };
    let (parents, list) = list.rsplit_once('.').unwrap_or(("", list));
    let mut parents = parents.split('.').filter(|part| !part.is_empty());
    let holder = parents.try_fold(table, |at, part| at.get_mut(part)?.as_table_mut())?;
    put(holder.get_mut(list)?.as_array_mut()?.first_mut()?.as_table_mut()?, rest, value)
}

/// The names that may stand at a place; none where it takes no name out of a list.
fn names(table: &Table, path: &str) -> Vec<String> {
    known(table, path, UNKNOWN_NAME)
}

/// How types answer a name that they do not know.
const UNKNOWN_NAME: &str = "unknown variant `?`, expected ";

/// What is expected at a place where "?" is not.
fn known(table: &Table, path: &str, answer: &str) -> Vec<String> {
    let mut table = table.clone();
    match put(&mut table, path, Value::String("?".to_owned())) {
        Some(()) => expected(&read(&table).err().unwrap_or_default(), answer),
        None => Vec::new(),
    }
}

/// What follows an answer of the kind "unknown variant `?`, expected one of `a`, `b`".
fn expected(error: &str, answer: &str) -> Vec<String> {
    match error.split_once(answer) {
        Some((_, names)) => quoted(names).map(str::to_owned).collect(),
        None => Vec::new(),
    }
}

/// What stands between backticks on the first line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().next().unwrap_or_default().split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_every_kind_is_listed_with_its_default() {
        let settings = settings();
        let find = |section: &str, kind: Option<&str>, key: &str| {
            let of = |one: &&Setting| {
                (one.section.as_str(), one.kind.as_deref(), one.key.as_str())
                    == (section, kind, key)
            };
            let found: Vec<&Setting> = settings.iter().filter(of).collect();
            assert_eq!(found.len(), 1, "[{section}] {kind:?} {key}");
            found[0]
        };
        assert_eq!(find("search", Some("mcts"), "c_puct").default_text(), "1.5");
        assert_eq!(find("search", Some("mcts"), "keep_tokens").default_text(), "false");
        assert_eq!(find("search.selection", None, "rule").default_text(), "\"puct\"");
        assert!(find("search.selection", None, "rule").names.contains(&"gumbel".to_owned()));
        assert_eq!(find("rounds", None, "first_temperature").default_text(), "absent");
        assert_eq!(find("bootstrap", None, "kind").names.len(), 3);
        assert_eq!(find("training", None, "lora").default_text(), "absent");
        assert!(settings.iter().any(|one| one.section == "training.lora" && one.key == "rank"));
        assert!(find("problems", Some("dataset"), "path").required);
        assert_eq!(find("policy", Some("local"), "min_p").default_text(), "0.0");
        assert_eq!(find("", None, "seed").default_text(), "1");
        let kinds =
            |section: &str| settings.iter().any(|one| one.section == section && one.kind.is_some());
        for section in ["environment", "problems", "policy", "search"] {
            assert!(kinds(section), "{section}");
        }
    }

    /// What is listed is what can be written: each key with its own default gives the recipe itself.
    #[test]
    fn every_default_can_be_written_down() {
        let settings = settings();
        let is_list = |one: &Setting| {
            let name = |other: &Setting| format!("{}.{}", other.section, other.key);
            settings.iter().any(|other| name(other) == one.section && other.default.is_array())
        };
        let written = |one: &&Setting| !one.required && one.default != Json::Null && !is_list(one);
        for one in settings.iter().filter(written) {
            let path = format!("{}.{}", one.section, one.key);
            let value = Value::try_from(&one.default).unwrap();
            let mut table = Table::new();
            if let Some(kind) = &one.kind {
                let path = format!("{}.kind", one.section);
                // `generated:ENVIRONMENT` is the kind `generated` of that environment.
                let (kind, environment) =
                    kind.split_once(':').map_or((kind.as_str(), None), |(a, b)| (a, Some(b)));
                set_value(&mut table, &path, Value::String(kind.to_owned())).unwrap();
                if let Some(environment) = environment {
                    let environment = Value::String(environment.to_owned());
                    set_value(&mut table, "environment.kind", environment).unwrap();
                }
            }
            set_value(&mut table, path.trim_start_matches('.'), value).unwrap();
            if read(&table).is_err_and(|error| error.contains("makes no problems")) {
                let file = Section::default().reading().table;
                table.extend(file);
            }
            if let Err(error) = read(&table) {
                // Another required key, or a kind above it, is missing, or it stands in a list; its own value is not what is wrong.
                assert!(
                    ["missing field", "unknown field", "invalid type: map, expected a sequence"]
                        .iter()
                        .any(|other| error.contains(other)),
                    "{path}: {error}"
                );
            }
        }
    }
}

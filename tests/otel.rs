//! Spans for a collector: what arrives over OpenTelemetry's protocol, read by the wire format's own field numbers
//! (opentelemetry-proto 1.x, `trace/v1/trace.proto`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use prost::Message;
use serde_json::Value;
use tiny_http::{Response, Server};

use crate::program::{TINY, espalier, text};

#[derive(Clone, PartialEq, Message)]
struct Export {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    /// 2: an error.
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Content", tags = "1, 2, 3, 4")]
    content: Option<Content>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Content {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
}

fn values(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let value = |attribute: &KeyValue| match attribute.value.clone().unwrap().content.unwrap() {
        Content::Text(text) => text.into(),
        Content::Bool(bool) => bool.into(),
        Content::Int(int) => int.into(),
        Content::Double(double) => double.into(),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), value(attribute))).collect()
}

impl Span {
    fn value(&self, key: &str) -> Value {
        let found = values(&self.attributes).remove(&format!("espalier.{key}"));
        found.unwrap_or_else(|| panic!("{key}: {self:?}"))
    }
}

#[derive(Default)]
struct Received {
    spans: Vec<Span>,
    /// Of the last request.
    resource: BTreeMap<String, Value>,
    headers: HashMap<String, String>,
}

/// A collector, until it is dropped.
struct Collector {
    http: Arc<Server>,
    received: Arc<Mutex<Received>>,
    thread: Option<JoinHandle<()>>,
    endpoint: String,
}

impl Collector {
    fn start() -> Self {
        let http = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let endpoint = format!("http://{}", http.server_addr());
        let received = Arc::new(Mutex::new(Received::default()));
        let (server, shared) = (Arc::clone(&http), Arc::clone(&received));
        let thread = thread::spawn(move || {
            for mut request in server.incoming_requests() {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                let mut received = shared.lock().unwrap();
                assert_eq!(request.url(), "/v1/traces");
                let header = |h: &tiny_http::Header| {
                    (h.field.to_string().to_lowercase(), h.value.to_string())
                };
                received.headers = request.headers().iter().map(header).collect();
                for part in Export::decode(&*body).unwrap().resource_spans {
                    received.resource = values(&part.resource.unwrap().attributes);
                    received.spans.extend(part.scope_spans.into_iter().flat_map(|s| s.spans));
                }
                _ = request.respond(Response::empty(200));
            }
        });
        Self { http, received, thread: Some(thread), endpoint }
    }

    fn spans(&self) -> Vec<Span> {
        self.received.lock().unwrap().spans.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.http.unblock();
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn tiny(run_dir: &Path, endpoint: &str, overrides: &[&str]) -> Command {
    let mut arguments = vec!["run", "--config", TINY, "--run-dir", text(run_dir)];
    for assignment in ["rounds.count=1", "bootstrap.lines=300"].iter().chain(overrides) {
        arguments.extend(["--set", assignment]);
    }
    let mut command = espalier(&arguments);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command
}

fn log(output: &Output) -> String {
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    log
}

#[test]
fn every_search_is_a_span_below_its_stage_round_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let collector = Collector::start();
    let mut command = tiny(&run_dir, &collector.endpoint, &[]);
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20secret");
    command.env("OTEL_RESOURCE_ATTRIBUTES", "host.name=here");
    let told = log(&command.output().unwrap());
    // The log's lines are as without spans.
    assert!(!told.contains("secret") && told.contains("INFO round 1 of 1"), "{told}");

    let received = collector.received.lock().unwrap();
    assert_eq!(received.headers["x-key"], "a secret");
    assert_eq!(received.headers["content-type"], "application/x-protobuf");
    assert_eq!(received.resource["service.name"], "espalier");
    assert_eq!(received.resource["host.name"], "here");
    let spans = &received.spans;
    let by_id: HashMap<&[u8], &Span> = spans.iter().map(|span| (&*span.id, span)).collect();
    assert_eq!(by_id.len(), spans.len());
    assert!(spans.iter().all(|span| span.trace == spans[0].trace && span.start <= span.end));
    let parent = |span: &Span| by_id.get(&*span.parent).copied();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();

    let [run] = *named("run") else { panic!("{spans:?}") };
    assert!(run.parent.is_empty());
    assert_eq!((run.value("recipe"), run.value("seed")), ("tiny".into(), "3".into()));
    for (name, round) in [("pretrain", 0), ("search", 1), ("harvest", 1), ("train", 1)] {
        let [stage] = *named(name) else { panic!("{name}: {spans:?}") };
        assert_eq!(stage.value("round"), round);
        let round_span = parent(stage).unwrap();
        assert_eq!((&*round_span.name, round_span.value("round")), ("round", round.into()));
        assert_eq!(parent(round_span), Some(run));
    }
    assert_eq!(named("evaluate").len(), 2);

    let trees = named("tree");
    let summary = fs::read(run_dir.join("rounds/1/search.json")).unwrap();
    let summary: Value = serde_json::from_slice(&summary).unwrap();
    assert_eq!(summary["trees"], trees.len());
    let sum = |key: &str| trees.iter().map(|tree| tree.value(key).as_u64().unwrap()).sum::<u64>();
    for key in ["simulations", "tokens", "nodes"] {
        assert_eq!(summary[key], sum(key), "{key}");
    }
    let solved = trees.iter().filter(|tree| tree.value("solved") == true).count();
    assert_eq!(summary["solved"], solved);
    let file = fs::read_to_string(run_dir.join("rounds/1/trees.jsonl")).unwrap();
    for tree in file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let found = trees.iter().find(|span| span.value("problem") == tree["problem"]).unwrap();
        assert_eq!(found.value("seed"), tree["seed"].to_string());
        assert_eq!(found.value("stop"), tree["stop"]);
        assert_eq!(parent(found).unwrap().name, "search");
    }
}

#[test]
fn nothing_is_sent_that_nobody_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    for (index, (name, value)) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ]
    .into_iter()
    .enumerate()
    {
        let run_dir = folder.path().join(index.to_string());
        let mut command = tiny(&run_dir, &collector.endpoint, &["rounds.count=0"]);
        log(&command.env(name, value).output().unwrap());
        assert_eq!(collector.spans(), [], "{name}");
    }
}

#[test]
fn a_collector_that_is_away_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let mut command = tiny(&run_dir, "http://name:hidden@127.0.0.1:9", &[]);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100");
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let told = log(&command.output().unwrap());
    assert_eq!(told.matches("traces: 127.0.0.1:9/v1/traces").count(), 1, "{told}");
    assert!(told.contains("sends http/protobuf alone") && !told.contains("hidden"), "{told}");
    assert!(run_dir.join("report.html").exists());
}

#[test]
fn a_stopped_run_tells_what_it_did() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Collector::start();
    let long = ["search.simulations=4000", "rounds.problems=100000", "problems.numbers=[4, 4]"];
    let mut command = tiny(&folder.path().join("run"), &collector.endpoint, &long);
    command.env("OTEL_BSP_SCHEDULE_DELAY", "100").stderr(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let begun = Instant::now();
    while !collector.spans().iter().any(|span| span.name == "tree") {
        if begun.elapsed() > Duration::from_secs(120) || child.try_wait().unwrap().is_some() {
            _ = child.kill();
            panic!("{:?}", child.wait_with_output());
        }
        thread::sleep(Duration::from_millis(50));
    }
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output:?}");
    let spans = collector.spans();
    for name in ["search", "round", "run"] {
        let span = spans.iter().rfind(|span| span.name == name).unwrap();
        let status = span.status.clone().unwrap();
        assert!(status.code == 2 && status.message.contains("stopped by SIGTERM"), "{span:?}");
    }
}

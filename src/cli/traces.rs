//! Spans for a collector, by OpenTelemetry's protocol over HTTP. Its own variables decide: where none names an endpoint, nothing is sent and no
//! span is made.

use std::env;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use espalier::interrupt;
use espalier::spans::TARGET;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, Tracer};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};
use ureq::Agent;

/// How long the program waits at its end for what is not sent yet, and how long when a signal ends it at once.
const LAST_WAIT: Duration = Duration::from_secs(5);
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// Spans that wait to be sent, where `OTEL_BSP_MAX_QUEUE_SIZE` says nothing: searches of small problems end by thousands a second.
const QUEUE: usize = 1 << 16;
const TIMEOUT: Duration = Duration::from_secs(10);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// The layer that takes the spans, where an endpoint is named, and what is to be said once there is a log.
pub fn layer() -> (Option<impl Layer<Registry> + Send + Sync>, Option<String>) {
    if !is_wanted() {
        return (None, None);
    }
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(Collector::new())
        .build();
    let exporter = match exporter {
        Ok(exporter) => exporter,
        Err(error) => return (None, Some(format!("traces: {error}; none are sent"))),
    };
    let mut queue = BatchConfigBuilder::default();
    if variable("OTEL_BSP_MAX_QUEUE_SIZE").is_none() {
        queue = queue.with_max_queue_size(QUEUE);
    }
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(queue.build()).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(resource())
        .build();
    let tracer = provider.tracer("espalier");
    _ = PROVIDER.set(provider);
    interrupt::before_exit(|| end_within(SHORT_WAIT));
    (Some(of_spans(tracer)), protocol_fault())
}

/// Sends what is left.
pub fn end() {
    end_within(LAST_WAIT);
}

fn end_within(time: Duration) {
    if let Some(provider) = PROVIDER.get() {
        // What goes wrong was told.
        _ = provider.shutdown_with_timeout(time);
    }
}

fn of_spans(tracer: Tracer) -> impl Layer<Registry> + Send + Sync {
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_filter(filter_fn(|about| about.is_span() && about.target() == TARGET))
}

fn is_wanted() -> bool {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let none = variable("OTEL_TRACES_EXPORTER").is_some_and(|v| v == "none");
    let endpoint = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    !disabled && !none && endpoint.into_iter().any(|name| variable(name).is_some())
}

/// What is said where another form of the protocol is asked for.
fn protocol_fault() -> Option<String> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let (name, asked) = names.into_iter().find_map(|name| Some((name, variable(name)?)))?;
    (asked != "http/protobuf")
        .then(|| format!("traces: {name} is {asked:?}, and this program sends http/protobuf alone"))
}

/// Who tells: `espalier`, unless the variables say otherwise.
fn resource() -> Resource {
    let builder = Resource::builder_empty()
        .with_service_name("espalier")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match variable("OTEL_SERVICE_NAME") {
        Some(name) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// A collector. What it does not take is told once: the run goes on.
#[derive(Debug)]
struct Collector {
    agent: Agent,
    told: AtomicBool,
}

impl Collector {
    fn new() -> Self {
        let agent = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            // The headers may hold a key, which is for this address alone.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .build()
            .into();
        Self { agent, told: AtomicBool::new(false) }
    }

    fn tell(&self, place: &str, fault: &str) {
        // Relaxed: nothing else depends on it.
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!("traces: {place}: {fault}; the run goes on, and this is said once");
        }
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        // Without a password that may stand there.
        let host = head.uri.authority().map(|there| there.as_str().rsplit('@').next());
        let place = host.flatten().unwrap_or_default().to_owned() + head.uri.path();
        let request = Request::from_parts(head, &body[..]);
        let answered = self.agent.run(request).and_then(|mut answer| {
            let body = answer.body_mut().read_to_vec()?;
            Ok(Response::from_parts(answer.into_parts().0, Bytes::from(body)))
        });
        let answer = answered.inspect_err(|error| self.tell(&place, &error.to_string()))?;
        if !answer.status().is_success() {
            self.tell(&place, &format!("the collector answers {}", answer.status()));
        }
        Ok(answer)
    }
}

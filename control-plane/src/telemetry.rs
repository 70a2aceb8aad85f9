//! Logs, traces and metrics, set up once for every role.
//!
//! Logs are JSON lines on standard error. Spans go out over OTLP/HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//! Metrics are Prometheus text on the role's unix socket; `percloud up` gathers all roles' on one private port.
//! What is never logged: mail addresses, tokens, bodies, names of files.

use std::{
    io::{Read, Write},
    path::Path,
};

use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use opentelemetry::{propagation::Extractor, trace::TracerProvider};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing_subscriber::{EnvFilter, Layer, layer::SubscriberExt, util::SubscriberInitExt};

/// Buckets of every histogram, in seconds: from a wake to a long upload.
const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Sends what is left of the traces when dropped; keep it until the role ends.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(traces) = &self.traces {
            // A collector that is gone must not keep a role from ending.
            let _ = traces.shutdown_with_timeout(std::time::Duration::from_secs(2));
        }
    }
}

/// Starts logging, tracing and (when there is a socket for them) metrics for `role`.
///
/// # Errors
/// When the exporter's settings are wrong or the metrics socket cannot be made.
pub fn start(role: &'static str, metrics_socket: Option<&Path>) -> anyhow::Result<Telemetry> {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let traces = if std::env::var_os("OTEL_EXPORTER_OTLP_ENDPOINT").is_some() { Some(exporter(role)?) } else { None };
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer("percloud")));
    // Spans too: those of the libraries below us, at debug, are many and tell nobody anything.
    let filter = || EnvFilter::try_from_env("PERCLOUD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let json = tracing_subscriber::fmt::layer()
        .json()
        .with_current_span(true)
        .with_span_list(false)
        .with_writer(std::io::stderr);
    tracing_subscriber::registry().with(json.with_filter(filter())).with(spans.with_filter(filter())).try_init()?;
    if let Some(socket) = metrics_socket {
        let recorder =
            PrometheusBuilder::new().set_buckets(&SECONDS)?.add_global_label("role", role).install_recorder()?;
        serve_metrics(recorder, socket)?;
    }
    Ok(Telemetry { traces })
}

fn exporter(role: &'static str) -> anyhow::Result<SdkTracerProvider> {
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_http().build().context("OTEL_EXPORTER_OTLP_ENDPOINT")?;
    let resource = opentelemetry_sdk::Resource::builder().with_service_name(format!("percloud-{role}")).build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}

/// Answers every connection with the metrics of now. One thread, one connection at a time: its only client is `percloud up`.
fn serve_metrics(recorder: PrometheusHandle, socket: &Path) -> anyhow::Result<()> {
    let listener = crate::sockets::listen_for(socket, None)?;
    // It has a thread of its own.
    listener.set_nonblocking(false)?;
    // What a histogram was told lies there until somebody sorts it into buckets: nobody may ever ask for the metrics.
    let upkeep = recorder.clone();
    std::thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(std::time::Duration::from_secs(5));
            upkeep.run_upkeep();
        }
    })?;
    std::thread::Builder::new().name("metrics".to_owned()).spawn(move || {
        for mut stream in listener.incoming().flatten() {
            recorder.run_upkeep();
            // A reader that went away is no concern of the role's.
            let _ = stream.set_read_timeout(Some(std::time::Duration::from_secs(1)));
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(recorder.render().as_bytes());
        }
    })?;
    Ok(())
}

/// The W3C `traceparent` of the current span, to be stored with a row so that later work joins the trace.
#[must_use]
pub fn trace_parent() -> Option<String> {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    let mut carrier = std::collections::HashMap::new();
    let context = tracing::Span::current().context();
    opentelemetry::global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut carrier));
    carrier.remove("traceparent")
}

/// Makes `span` part of the trace that a stored or received `traceparent` names.
pub fn join_trace(span: &tracing::Span, trace_parent: Option<&str>) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    let Some(value) = trace_parent else { return };
    let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&OneHeader(value)));
    // Without an exporter there is no trace to join.
    let _ = span.set_parent(context);
}

struct OneHeader<'a>(&'a str);

impl Extractor for OneHeader<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == "traceparent").then_some(self.0)
    }
    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

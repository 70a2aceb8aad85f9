//! The trace that a wish belongs to, carried with its row, so that sign-up and provisioning show as one trace.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::TraceContextExt,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const HEADER: &str = "traceparent";

#[derive(Default)]
struct Carrier(Option<String>);

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        if key == HEADER {
            self.0 = Some(value);
        }
    }
}

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == HEADER)
    }
    fn keys(&self) -> Vec<&str> {
        vec![HEADER]
    }
}

/// The present span as a W3C `traceparent`, to be stored with a wish; none when nothing is traced.
#[must_use]
pub fn parent() -> Option<String> {
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = Carrier::default();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.0
}

/// Makes a span part of the trace that a stored (or received) `traceparent` names; nonsense is passed over.
pub fn continue_in(span: &Span, parent: Option<&str>) {
    let Some(parent) = parent else { return };
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Carrier(Some(parent.to_owned())));
    if context.span().span_context().is_valid() {
        let _ = span.set_parent(context);
    }
}

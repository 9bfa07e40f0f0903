//! `/metrics`, in OpenMetrics text. The registry is made for each scrape: two nodes in one process
//! share nothing, and what is shown is what the node says at that moment.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::{Api, ApiError, health};
use crate::status::{Figure, Status};

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How many requests this node has answered, by class of status.
#[derive(Debug, Default)]
pub(crate) struct AnswerCounts {
    counts: [AtomicU64; 5],
}

impl AnswerCounts {
    pub(super) fn note(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5);
        self.counts[class - 1].fetch_add(1, Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; 5] {
        self.counts.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// `GET /metrics`.
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Result<Response, ApiError> {
    let status = health::status(&api).await?;
    let acting = api.node.watch_leadership().may_act();
    let mut registry = Registry::with_prefix("quorate");
    let scrape = Scrape { status, acting, answered: api.answered.counts() };
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry).expect("writing to a string does not fail");
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], text).into_response())
}

#[derive(Debug)]
struct Scrape {
    status: Status,
    acting: bool,
    answered: [u64; 5],
}

impl Collector for Scrape {
    fn encode(&self, mut out: DescriptorEncoder) -> Result<(), fmt::Error> {
        let status = &self.status;
        let count = |length: usize| length as u64;
        let gauges = [
            ("acting", "Whether this node may act as leader", u64::from(self.acting)),
            ("has_leader", "Whether a leader is known", u64::from(status.has_leader())),
            ("commit_index", "Highest committed index known", status.commit_index.0),
            ("applied_index", "Highest index executed", status.applied_index.0),
            ("last_index", "End of the log", status.last_index.0),
            ("voters", "Voters of the effective membership", count(status.voters.len())),
            ("learners", "Learners of the effective membership", count(status.learners.len())),
        ];
        for (name, help, value) in gauges {
            gauge(&mut out, name, help, value)?;
        }
        for Figure { name, value } in &status.queues {
            gauge(&mut out, &format!("{name}_waiting"), "Requests that wait", *value)?;
        }
        for Figure { name, value } in &status.counters {
            let counter = ConstCounter::new(*value);
            let kind = MetricType::Counter;
            let metric = out.encode_descriptor(name, "Since the node started", None, kind)?;
            counter.encode(metric)?;
        }
        let help = "Requests answered over HTTP";
        let mut family = out.encode_descriptor("http_requests", help, None, MetricType::Counter)?;
        for (class, answered) in CLASSES.iter().zip(self.answered) {
            let labels = [("status", *class)];
            ConstCounter::new(answered).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

fn gauge(
    out: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(out.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

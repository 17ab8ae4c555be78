//! Every key of the configuration, once.
//!
//! A key has to earn its place: `why` says what a default cannot know. What nobody would set is a
//! constant in the code.

use super::slot::Slot;

/// One key: its name, what it does, and the field it fills.
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// What it does, one or two sentences.
    pub what: &'static str,
    /// Why a default cannot do it.
    pub why: &'static str,
    /// The flag of `serve` that sets it, if there is one.
    pub flag: Option<&'static str>,
    pub(super) slot: Slot,
}

impl Key {
    /// `otlp.grpc`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `SUYUAN_OTLP_GRPC`.
    pub fn variable(&self) -> String {
        format!("SUYUAN_{}_{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// In the order of `--print-config`; keys of one section stand together.
pub const KEYS: &[Key] = &[
    Key {
        section: "server",
        name: "data_dir",
        what: "Directory of everything the server keeps: `log/`, `live/`, `objects/` and `LOCK`. \
               Made when it does not exist; one server at a time.",
        why: "Only the operator knows which disk is large and fsyncs fast.",
        flag: Some("--data-dir"),
        slot: Slot::Path(|config| &mut config.server.data_dir),
    },
    Key {
        section: "server",
        name: "http",
        what: "Where questions are answered: the Tempo API, `/ready`, `/metrics`, `/status`. \
               HTTP/1.1 and HTTP/2 on one port; port 0 lets the system choose.",
        why: "Loopback is the only safe default while there is no authentication; which network \
              may ask is the operator's to say.",
        flag: Some("--http"),
        slot: Slot::Address(|config| &mut config.server.http),
    },
    Key {
        section: "server",
        name: "drain_wait_max_ms",
        what: "Longest time that requests in flight get to finish after SIGTERM. What was \
               acknowledged is on the disk before that already.",
        why: "It must stay below what the service manager waits before it kills: 10 s for \
              containers, 30 s on Kubernetes, 90 s under systemd.",
        flag: None,
        slot: Slot::Milliseconds(|config| &mut config.server.drain_wait_max, 0..=600_000),
    },
    Key {
        section: "otlp",
        name: "grpc",
        what: "Where OTLP over gRPC is received. The port also takes OTLP over HTTP.",
        why: "Senders on other machines need another address than loopback.",
        flag: Some("--otlp-grpc"),
        slot: Slot::Address(|config| &mut config.otlp.grpc),
    },
    Key {
        section: "otlp",
        name: "http",
        what: "Where OTLP over HTTP is received, protobuf and JSON. The port also takes OTLP over \
               gRPC.",
        why: "Senders on other machines need another address than loopback.",
        flag: Some("--otlp-http"),
        slot: Slot::Address(|config| &mut config.otlp.http),
    },
    Key {
        section: "otlp",
        name: "cors_allowed_origins",
        what: "Origins whose pages may send from a browser, such as `\"https://shop.example\"`; \
               `\"*\"` allows all. Empty: browsers are not let in.",
        why: "Which pages are one's own cannot be known, and letting in all is no default.",
        flag: None,
        slot: Slot::Texts(|config| &mut config.otlp.cors_allowed_origins),
    },
    Key {
        section: "otlp",
        name: "body_bytes_max",
        what: "Largest request as sent; above it the answer is 413 or RESOURCE_EXHAUSTED.",
        why: "A Collector with large batches needs more; a public door less.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.otlp.body_bytes_max, 1 << 10..=512 << 20),
    },
    Key {
        section: "otlp",
        name: "inflated_bytes_max",
        what: "Largest request after decompression; inflating stops there.",
        why: "It guards memory against compressed bombs, so it goes with the memory there is.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.otlp.inflated_bytes_max, 1 << 10..=512 << 20),
    },
    Key {
        section: "otlp",
        name: "in_flight_bytes_max",
        what: "Bytes of requests that are held at one time, over all connections; what does not \
               fit after a short wait is answered with 429 or RESOURCE_EXHAUSTED.",
        why: "Many senders with large batches need more, a small machine less.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.otlp.in_flight_bytes_max, 1 << 20..=16 << 30),
    },
    Key {
        section: "tenancy",
        name: "enabled",
        what: "Whether `X-Scope-OrgID` names the tenant. Off: the header is ignored and all is one \
               tenant. On: a request without it gets 401.",
        why: "It changes who sees what; it must be a decision.",
        flag: None,
        slot: Slot::Switch(|config| &mut config.tenancy.enabled),
    },
    Key {
        section: "limits",
        name: "attribute_value_bytes_max",
        what: "Longest attribute value; a longer text is cut and marked.",
        why: "Some keep whole statements or prompts in attributes.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.limits.attribute_value_bytes_max, 64..=16 << 20),
    },
    Key {
        section: "limits",
        name: "attributes_per_span_max",
        what: "Attributes kept per span, event, link or resource; the rest counts as dropped.",
        why: "Guards against a runaway instrumentation without cutting an honest one.",
        flag: None,
        slot: Slot::Count(|config| &mut config.limits.attributes_per_span_max, 1..=65_535),
    },
    Key {
        section: "limits",
        name: "events_per_span_max",
        what: "Events kept per span; the rest counts as dropped.",
        why: "Streaming services write an event per message.",
        flag: None,
        slot: Slot::Count(|config| &mut config.limits.events_per_span_max, 1..=65_535),
    },
    Key {
        section: "limits",
        name: "links_per_span_max",
        what: "Links kept per span; the rest counts as dropped.",
        why: "A batch consumer links every message of its batch.",
        flag: None,
        slot: Slot::Count(|config| &mut config.limits.links_per_span_max, 1..=65_535),
    },
    Key {
        section: "limits",
        name: "spans_per_trace_max",
        what: "Spans of one trace; more are refused by partial success.",
        why: "A job that never ends its trace must not fill the memory; how large an honest \
              trace is differs from house to house.",
        flag: None,
        slot: Slot::Count(|config| &mut config.limits.spans_per_trace_max, 1..=100_000_000),
    },
    Key {
        section: "limits",
        name: "tenant_bytes_per_second",
        what: "Bytes a tenant may send per second, after decompression; above it the answer is \
               429 with Retry-After, or RESOURCE_EXHAUSTED. 0 is unlimited.",
        why: "A shared server needs a bound per tenant; a server of one's own needs none.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.limits.tenant_bytes_per_second, 0..=1 << 40),
    },
    Key {
        section: "limits",
        name: "memory_bytes_max",
        what: "Memory the whole server aims at. Requests in flight and the program's own needs \
               come first; live data gets the rest, and what does not fit moves to scratch files \
               in `live/`.",
        why: "It is the one figure about the machine that the server does not guess.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.limits.memory_bytes_max, 64 << 20..=1 << 40),
    },
    Key {
        section: "log",
        name: "segment_bytes_max",
        what: "Size at which the log begins a new file.",
        why: "A small disk wants small steps; tests do too.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.log.segment_bytes_max, 1 << 20..=4 << 30),
    },
];

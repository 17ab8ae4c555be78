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
        what: "Memory the whole server aims at. Requests in flight, questions and the program's \
               own needs come first; live data gets the rest, and what does not fit moves to \
               scratch files in `live/`.",
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
    Key {
        section: "objects",
        name: "kind",
        what: "Where blocks and their catalog are: `\"local\"`, in `objects/` of the data directory, or `\"s3\"`, in a bucket.",
        why: "It decides what is left when the machine is gone.",
        flag: None,
        slot: Slot::ObjectsKind(|config| &mut config.objects.kind),
    },
    Key {
        section: "objects",
        name: "bucket",
        what: "Name of the bucket. It must exist and honour `If-None-Match: *` on PUT; the server proves that at each start, or refuses.",
        why: "Only the operator has one.",
        flag: None,
        slot: Slot::Text(|config| &mut config.objects.bucket),
    },
    Key {
        section: "objects",
        name: "prefix",
        what: "Folder within the bucket; empty: all of it. Servers that share data name the same one.",
        why: "A bucket may hold other things, or two installations.",
        flag: None,
        slot: Slot::Text(|config| &mut config.objects.prefix),
    },
    Key {
        section: "objects",
        name: "endpoint",
        what: "URL of an S3-style store that is not Amazon's, such as `\"https://minio.example:9000\"`. Without it `AWS_ENDPOINT_URL` or Amazon's.",
        why: "Where one's own store is cannot be guessed.",
        flag: None,
        slot: Slot::Text(|config| &mut config.objects.endpoint),
    },
    Key {
        section: "objects",
        name: "region",
        what: "Region of the bucket. Without it `AWS_REGION`, else `us-east-1`.",
        why: "Amazon refuses requests that are signed for another region.",
        flag: None,
        slot: Slot::Text(|config| &mut config.objects.region),
    },
    Key {
        section: "objects",
        name: "access_key_id",
        what: "Who asks the store. Without it `AWS_ACCESS_KEY_ID`, else what the cloud gives the machine or container.",
        why: "A store of one's own gives its machines no keys.",
        flag: None,
        slot: Slot::Text(|config| &mut config.objects.access_key_id),
    },
    Key {
        section: "objects",
        name: "secret_access_key",
        what: "The password that goes with `objects.access_key_id`. Better in the environment than in a file; it is shown nowhere.",
        why: "It is a secret.",
        flag: None,
        slot: Slot::Secret(|config| &mut config.objects.secret_access_key),
    },
    Key {
        section: "objects",
        name: "allow_http",
        what: "Whether the endpoint may be plain HTTP: keys stay secret then, data can be read underway.",
        why: "Whether the network in between is trusted is the operator's to say.",
        flag: None,
        slot: Slot::Switch(|config| &mut config.objects.allow_http),
    },
    Key {
        section: "objects",
        name: "virtual_hosted",
        what: "Whether the bucket stands in the host's name instead of the path.",
        why: "Some stores understand only one of the two.",
        flag: None,
        slot: Slot::Switch(|config| &mut config.objects.virtual_hosted),
    },
    Key {
        section: "objects",
        name: "request_time_max_ms",
        what: "Longest time that one request to the bucket may take; it is then repeated.",
        why: "A slow line needs more for a part of 8 MiB.",
        flag: None,
        slot: Slot::Milliseconds(|config| &mut config.objects.request_time_max, 1_000..=240_000),
    },
    Key {
        section: "objects",
        name: "cache_bytes_max",
        what: "Memory for parts of blocks that were read from the bucket; out of `limits.memory_bytes_max`. A local store leaves this to the system.",
        why: "How often the same traces are looked at, and what a request to the store costs, differs from house to house.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.objects.cache_bytes_max, 1 << 20..=1 << 38),
    },
    Key {
        section: "seal",
        name: "rows_max",
        what: "Live spans at which they become a block.",
        why: "More make fewer and larger blocks and a longer replay after a crash.",
        flag: None,
        slot: Slot::Count(|config| &mut config.seal.rows_max, 1_000..=100_000_000),
    },
    Key {
        section: "seal",
        name: "age_max_s",
        what: "Age of the oldest live span at which they become a block.",
        why: "On S3 it is the most that is lost when the machine dies with its disk.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.seal.age_max, 1..=86_400),
    },
    Key {
        section: "seal",
        name: "log_bytes_max",
        what: "Bytes of log since the last block at which the next one is made.",
        why: "It bounds what the log takes on the disk.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.seal.log_bytes_max, 1 << 20..=1 << 40),
    },
    Key {
        section: "retention",
        name: "age_max_s",
        what: "How long spans are kept, from when they were received: an import of last year stays as long as what came today. 0 is for ever.",
        why: "How long traces may or must be kept is law or taste.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.retention.age_max, 0..=3_162_240_000),
    },
    Key {
        section: "retention",
        name: "bytes_max",
        what: "Bytes of blocks that are kept of each tenant; the oldest go first. 0 is unlimited.",
        why: "Only the operator knows what the store costs.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.retention.bytes_max, 0..=1 << 50),
    },
    Key {
        section: "compaction",
        name: "enabled",
        what: "Whether small blocks are merged, split traces joined and expired or erased spans taken out. Off only while another server on the same bucket does it.",
        why: "Of several servers on one bucket one is enough.",
        flag: None,
        slot: Slot::Switch(|config| &mut config.compaction.enabled),
    },
    Key {
        section: "compaction",
        name: "delete_after_s",
        what: "How long the files of a block stay after it was replaced, by the store's clock: the longest question of any server that reads the bucket, and then some.",
        why: "Readers on other machines may be slow.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.compaction.delete_after, 60..=604_800),
    },
    Key {
        section: "compaction",
        name: "erase_after_s",
        what: "When what was erased is also taken out of the files. It is hidden at once; `flush?compact=true` does it now.",
        why: "A law may ask for less; each erasure rewrites whole blocks.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.compaction.erase_after, 0..=31_536_000),
    },
    Key {
        section: "query",
        name: "trace_horizon_s",
        what: "Parts of a trace that were received within this time of each other are one trace to every question. Looked up by id a trace is whole whatever its parts' age.",
        why: "Jobs that run for hours need more; more costs memory.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.query.trace_horizon, 0..=86_400),
    },
    Key {
        section: "query",
        name: "timeout_s",
        what: "Longest time that a search, or a question about tags, may take, waiting included; then the answer is 504.",
        why: "A store in a bucket and a year of data need more; a dashboard that asks every second less.",
        flag: None,
        slot: Slot::Seconds(|config| &mut config.query.timeout, 1..=3_600),
    },
    Key {
        section: "query",
        name: "memory_bytes_max",
        what: "Memory that questions may hold together; of those that run at a time each may have an equal share. It is taken out of `limits.memory_bytes_max`. A question that needs more is refused with 400.",
        why: "Answers of a hundred thousand traces need more; a small machine has less.",
        flag: None,
        slot: Slot::Bytes(|config| &mut config.query.memory_bytes_max, 8 << 20..=1 << 38),
    },
    Key {
        section: "query",
        name: "concurrency",
        what: "Questions that are worked on at a time, on threads of a lower priority than ingest. 0: as many as the machine has processors.",
        why: "A server shared with other programs wants fewer, a store that is far away more.",
        flag: None,
        slot: Slot::Count(|config| &mut config.query.concurrency, 0..=1_024),
    },
    Key {
        section: "query",
        name: "queue_max",
        what: "Questions that may wait for others to end; one too many is answered with 429 and Retry-After.",
        why: "Many dashboards that reload at once need more; who would rather hear no than wait wants less.",
        flag: None,
        slot: Slot::Count(|config| &mut config.query.queue_max, 1..=65_535),
    },
];

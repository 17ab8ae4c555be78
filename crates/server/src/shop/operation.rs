//! The words in which the shop's work is written down (`journeys.rs` writes it).
//!
//! An operation is what one service does when somebody knocks; its steps are what it does meanwhile.
//! Constants only: nothing here runs (`stage.rs` does).

use super::service::Service;

/// What a service does when it is asked.
#[derive(Debug)]
pub(crate) struct Operation {
    pub(crate) service: Service,
    pub(crate) door: Door,
    /// Median of the service's own work, beside its steps.
    pub(crate) busy_micros: u64,
    /// How often it fails by itself.
    pub(crate) fails_per_mille: u32,
    /// Answers of the 400s that are no fault of the service.
    pub(crate) refusals: &'static [Refusal],
    /// What the service writes on its span about the business.
    pub(crate) notes: &'static [Note],
    pub(crate) steps: &'static [Step],
}

/// How a service is reached.
#[derive(Debug, PartialEq)]
pub(crate) enum Door {
    Http { method: &'static str, route: &'static str },
    Rpc { method: &'static str },
    Consume { topic: &'static str, group: &'static str },
    Job { name: &'static str },
}

#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) per_mille: u32,
    pub(crate) why: &'static str,
}

/// A fact about the visitor and what he wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    UserId,
    UserTier,
    SessionId,
    Sku,
    CartItems,
    OrderId,
    OrderTotal,
    CouponCodes,
    SearchWords,
    RiskScore,
    FirstVisit,
}

/// One thing done, most of them one span or one pair of spans.
#[derive(Debug)]
pub(crate) enum Step {
    /// The service's own code.
    Work {
        name: &'static str,
        micros: u64,
    },
    /// Another service: over HTTP through the internal gateway, or by gRPC directly.
    Call {
        to: &'static Operation,
        patience: Patience,
    },
    /// MySQL.
    Query {
        name: &'static str,
        text: &'static str,
        micros: u64,
    },
    /// Redis; `on_miss` follows when the key is not there.
    Cache {
        command: &'static str,
        key: &'static str,
        hit_per_mille: u32,
        on_miss: &'static [Step],
    },
    /// Elasticsearch.
    Find {
        index: &'static str,
        text: &'static str,
        micros: u64,
    },
    /// Kafka.
    Publish {
        topic: &'static Topic,
    },
    /// A company on the other side of the internet: it sends no spans.
    Partner {
        partner: &'static Partner,
        patience: Patience,
    },
    /// All steps begin at once.
    Together(&'static [Step]),
    Sometimes {
        per_mille: u32,
        steps: &'static [Step],
    },
    Repeat {
        least: u64,
        most: u64,
        steps: &'static [Step],
    },
    /// Side by side `n_lanes` times `Repeat`.
    Lanes {
        n_lanes: u64,
        least: u64,
        most: u64,
        steps: &'static [Step],
    },
}

/// What the caller does when a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Fails too.
    Required,
    /// Goes on without.
    Optional,
    /// Tries so many times in all, with growing pauses, then fails.
    Attempts(u32),
}

/// A Kafka topic and who reads it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) n_partitions: u64,
    /// Continue the trace of the producer, after the answer has gone out.
    pub(crate) followers: &'static [&'static Operation],
    /// Begin traces of their own that link to the producer, several messages at a time.
    pub(crate) readers: &'static [&'static Operation],
}

#[derive(Debug)]
pub(crate) struct Partner {
    pub(crate) host: &'static str,
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) micros: u64,
    pub(crate) fails_per_mille: u32,
}

/// An operation with nothing said about it yet.
pub(crate) const PLAIN: Operation = Operation {
    service: Service::Mall,
    door: Door::Job { name: "" },
    busy_micros: 500,
    fails_per_mille: 0,
    refusals: &[],
    notes: &[],
    steps: &[],
};

pub(crate) const fn http(method: &'static str, route: &'static str) -> Door {
    Door::Http { method, route }
}

pub(crate) const fn rpc(method: &'static str) -> Door {
    Door::Rpc { method }
}

pub(crate) const fn consume(topic: &'static str, group: &'static str) -> Door {
    Door::Consume { topic, group }
}

pub(crate) const fn refusal(status: u16, per_mille: u32, why: &'static str) -> Refusal {
    Refusal { status, per_mille, why }
}

pub(crate) const fn work(name: &'static str, micros: u64) -> Step {
    Step::Work { name, micros }
}

pub(crate) const fn call(to: &'static Operation) -> Step {
    Step::Call { to, patience: Patience::Required }
}

/// A call whose failure the caller lives with.
pub(crate) const fn ask(to: &'static Operation) -> Step {
    Step::Call { to, patience: Patience::Optional }
}

/// A call that is tried three times.
pub(crate) const fn insist(to: &'static Operation) -> Step {
    Step::Call { to, patience: Patience::Attempts(3) }
}

pub(crate) const fn query(name: &'static str, text: &'static str, micros: u64) -> Step {
    Step::Query { name, text, micros }
}

pub(crate) const fn cache(command: &'static str, key: &'static str) -> Step {
    Step::Cache { command, key, hit_per_mille: 1000, on_miss: &[] }
}

pub(crate) const fn cached(
    key: &'static str,
    hit_per_mille: u32,
    on_miss: &'static [Step],
) -> Step {
    Step::Cache { command: "GET", key, hit_per_mille, on_miss }
}

pub(crate) const fn sometimes(per_mille: u32, steps: &'static [Step]) -> Step {
    Step::Sometimes { per_mille, steps }
}

pub(crate) const fn publish(topic: &'static Topic) -> Step {
    Step::Publish { topic }
}

//! Why a request was not taken, and how HTTP and gRPC say so.
//!
//! One table, [`Kind::row`], holds for every reason its label in the metrics, its HTTP status and
//! its gRPC code. The rest of the receiver names reasons and never numbers.

use std::time::Duration;

use http::StatusCode;

use crate::admission::{BudgetTaken, OverRate};
use crate::inflate::InflateError;
use crate::lane::Refusal;

/// A refusal on its way to the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    pub(super) message: String,
    /// How long the sender should wait before the same request can succeed; `None` says that it
    /// never will.
    pub(super) retry_after: Option<Duration>,
}

/// A new one belongs into [`Kind::ALL`] too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    Inflate,
    TenantInvalid,
    TenantMissing,
    UnknownPath,
    UnknownService,
    UnknownMethod,
    TooLarge,
    InflatedTooLarge,
    ContentType,
    ContentEncoding,
    Framing,
    NotOneMessage,
    SlowBody,
    BrokenBody,
    Deadline,
    InFlight,
    Rate,
    Overloaded,
    WindowFull,
    TooManyTenants,
    LogFull,
    LogFailed,
    DecoderFailed,
    Stopping,
}

/// The codes of gRPC that we answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Ok = 0,
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// The label `reason` of `suyuan_ingest_refused_requests_total`.
    pub(super) label: &'static str,
    pub(super) status: StatusCode,
    pub(super) code: Code,
}

/// A queue that is full now is shorter soon.
const RETRY_OVERLOADED: Duration = Duration::from_secs(1);
/// Somebody has to make space, or a restart has to end.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(5);
const RETRY_TENANT: Duration = Duration::from_secs(60);

/// `Stopping` is the last one: none is missing from the list.
const _: () = assert!(Kind::ALL.len() == Kind::Stopping as usize + 1);

impl Kind {
    /// In the order in which they are declared.
    pub(super) const ALL: [Self; 25] = [
        Self::Malformed,
        Self::Inflate,
        Self::TenantInvalid,
        Self::TenantMissing,
        Self::UnknownPath,
        Self::UnknownService,
        Self::UnknownMethod,
        Self::TooLarge,
        Self::InflatedTooLarge,
        Self::ContentType,
        Self::ContentEncoding,
        Self::Framing,
        Self::NotOneMessage,
        Self::SlowBody,
        Self::BrokenBody,
        Self::Deadline,
        Self::InFlight,
        Self::Rate,
        Self::Overloaded,
        Self::WindowFull,
        Self::TooManyTenants,
        Self::LogFull,
        Self::LogFailed,
        Self::DecoderFailed,
        Self::Stopping,
    ];

    pub(super) fn row(self) -> Row {
        use Code::*;
        use StatusCode as S;
        let (label, status, code) = match self {
            Self::Malformed => ("malformed", S::BAD_REQUEST, InvalidArgument),
            Self::Inflate => ("inflate", S::BAD_REQUEST, InvalidArgument),
            Self::TenantInvalid => ("tenant_invalid", S::BAD_REQUEST, InvalidArgument),
            Self::TenantMissing => ("tenant_missing", S::UNAUTHORIZED, Unauthenticated),
            Self::UnknownPath => ("unknown_path", S::NOT_FOUND, Unimplemented),
            Self::UnknownService => ("unknown_service", S::NOT_FOUND, NotFound),
            Self::UnknownMethod => ("unknown_method", S::METHOD_NOT_ALLOWED, Unimplemented),
            Self::TooLarge => ("too_large", S::PAYLOAD_TOO_LARGE, ResourceExhausted),
            Self::InflatedTooLarge => {
                ("inflated_too_large", S::PAYLOAD_TOO_LARGE, ResourceExhausted)
            }
            Self::ContentType => ("content_type", S::UNSUPPORTED_MEDIA_TYPE, InvalidArgument),
            Self::ContentEncoding => ("content_encoding", S::UNSUPPORTED_MEDIA_TYPE, Unimplemented),
            Self::Framing => ("framing", S::BAD_REQUEST, Internal),
            Self::NotOneMessage => ("not_one_message", S::BAD_REQUEST, Unimplemented),
            Self::SlowBody => ("slow_body", S::REQUEST_TIMEOUT, DeadlineExceeded),
            Self::BrokenBody => ("broken_body", S::BAD_REQUEST, Cancelled),
            Self::Deadline => ("deadline", S::GATEWAY_TIMEOUT, DeadlineExceeded),
            Self::InFlight => ("in_flight", S::TOO_MANY_REQUESTS, ResourceExhausted),
            Self::Rate => ("rate", S::TOO_MANY_REQUESTS, ResourceExhausted),
            Self::Overloaded => ("overloaded", S::TOO_MANY_REQUESTS, ResourceExhausted),
            Self::WindowFull => ("window_full", S::SERVICE_UNAVAILABLE, Unavailable),
            Self::TooManyTenants => ("too_many_tenants", S::TOO_MANY_REQUESTS, ResourceExhausted),
            Self::DecoderFailed => ("decoder_failed", S::INTERNAL_SERVER_ERROR, Internal),
            Self::LogFull => ("log_full", S::SERVICE_UNAVAILABLE, Unavailable),
            Self::LogFailed => ("log_failed", S::SERVICE_UNAVAILABLE, Unavailable),
            Self::Stopping => ("stopping", S::SERVICE_UNAVAILABLE, Unavailable),
        };
        Row { label, status, code }
    }

    fn retry_after(self) -> Option<Duration> {
        match self {
            Self::InFlight | Self::Rate | Self::Overloaded => Some(RETRY_OVERLOADED),
            // A tenant's place may become free, but not by waiting a moment.
            Self::TooManyTenants => Some(RETRY_TENANT),
            Self::WindowFull | Self::LogFull | Self::LogFailed | Self::Stopping => {
                Some(RETRY_UNAVAILABLE)
            }
            _ => None,
        }
    }
}

impl Problem {
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: kind.retry_after() }
    }

    pub(super) fn too_large(bytes: Option<u64>, bytes_max: usize) -> Self {
        let bytes = bytes.map(|n| format!(" of {n} bytes")).unwrap_or_default();
        let message = format!(
            "the body{bytes} is larger than the limit of {bytes_max} bytes as sent: send smaller \
             batches, or compress them"
        );
        Self::new(Kind::TooLarge, message)
    }
}

impl From<BudgetTaken> for Problem {
    fn from(error: BudgetTaken) -> Self {
        Self::new(Kind::InFlight, error.to_string())
    }
}

impl From<OverRate> for Problem {
    fn from(error: OverRate) -> Self {
        let retry_after = Some(error.wait);
        Self { retry_after, ..Self::new(Kind::Rate, error.to_string()) }
    }
}

impl From<InflateError> for Problem {
    fn from(error: InflateError) -> Self {
        let kind = match &error {
            InflateError::TooLarge { .. } => Kind::InflatedTooLarge,
            InflateError::Damaged { .. } => Kind::Inflate,
            InflateError::BudgetTaken(_) => Kind::InFlight,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let kind = match &refusal {
            Refusal::Malformed(_) => Kind::Malformed,
            Refusal::Overloaded => Kind::Overloaded,
            Refusal::LogFull => Kind::LogFull,
            Refusal::LogFailed(_) => Kind::LogFailed,
            Refusal::WindowFull { .. } => Kind::WindowFull,
            Refusal::TooManyTenants { .. } => Kind::TooManyTenants,
            Refusal::DecoderFailed => Kind::DecoderFailed,
            Refusal::Stopping => Kind::Stopping,
        };
        Self::new(kind, refusal.to_string())
    }
}

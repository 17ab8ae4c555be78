//! gRPC by hand: five bytes before the message, the outcome in the trailers.
//!
//! In: a message; headers, body and trailers of an answer. Out: a frame; what the answer means.
//! The retryable codes are those of the OTLP specification; RESOURCE_EXHAUSTED is only with a
//! RetryInfo, which also says when.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http::HeaderMap;
use suyuan_wire::protobuf::{FieldValue, Malformed, Reader};

use super::answer::{Answer, Verdict, each_field, one_line, protobuf_partial_success};

/// The method that takes traces.
pub(super) const EXPORT_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

const FRAME_HEADER_BYTES: usize = 5;

static CODE_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const RESOURCE_EXHAUSTED: usize = 8;
/// CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS.
const RETRYABLE: [usize; 6] = [1, 4, 10, 11, 14, 15];

/// One message as it goes over the wire.
pub(super) fn frame(message: &[u8], is_compressed: bool) -> Bytes {
    let mut framed = Vec::with_capacity(message.len() + FRAME_HEADER_BYTES);
    framed.push(u8::from(is_compressed));
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    Bytes::from(framed)
}

/// `headers` hold the outcome if there is nothing else ("trailers-only"), else `trailers` do.
pub(super) fn answer(headers: &HeaderMap, body: &[u8], trailers: Option<&HeaderMap>) -> Answer {
    let outcome = trailers.filter(|map| map.contains_key("grpc-status")).unwrap_or(headers);
    let Some(code) = outcome.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok())
    else {
        return Answer::none("the answer has no grpc-status");
    };
    let message = outcome.get("grpc-message").map(|text| percent_decoded(text.as_bytes()));
    let message = message.unwrap_or_default();
    let (verdict, reason) = match code {
        0 => {
            let partial = body.get(FRAME_HEADER_BYTES..).map(protobuf_partial_success);
            let (n_spans_refused, reason) = partial.and_then(Result::ok).unwrap_or_default();
            (Verdict::Accepted { n_spans_refused }, reason)
        }
        RESOURCE_EXHAUSTED => match retry_delay(outcome) {
            Some(delay) => (Verdict::TryAgain { after: Some(delay) }, message),
            None => (Verdict::Refused, message),
        },
        code if RETRYABLE.contains(&code) => {
            (Verdict::TryAgain { after: retry_delay(outcome) }, message)
        }
        _ => (Verdict::Refused, message),
    };
    let name = CODE_NAMES.get(code).copied().unwrap_or("(unknown code)");
    Answer { verdict, status: format!("grpc {name}"), reason: one_line(&reason) }
}

/// The delay of a `google.rpc.RetryInfo` in `grpc-status-details-bin`.
fn retry_delay(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-status-details-bin")?.to_str().ok()?;
    let status = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).ok()?;
    retry_info(&status).ok().flatten()
}

fn retry_info(status: &[u8]) -> Result<Option<Duration>, Malformed> {
    let mut delay = None;
    each_field(status, 3, &mut |any| {
        let mut is_retry_info = false;
        each_field(any, 1, &mut |url| {
            is_retry_info = url.ends_with(b"/google.rpc.RetryInfo");
            Ok(())
        })?;
        if !is_retry_info {
            return Ok(());
        }
        each_field(any, 2, &mut |info| {
            each_field(info, 1, &mut |duration| {
                delay = Some(protobuf_duration(duration)?);
                Ok(())
            })
        })
    })?;
    Ok(delay)
}

/// A `google.protobuf.Duration`; a negative one is none.
fn protobuf_duration(message: &[u8]) -> Result<Duration, Malformed> {
    let mut duration = Duration::ZERO;
    let mut fields = Reader::new(message);
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (1, FieldValue::Varint(seconds)) => {
                duration += Duration::from_secs(seconds.min(u64::from(u32::MAX)));
            }
            (2, FieldValue::Varint(nanos)) => {
                duration += Duration::from_nanos(nanos.min(999_999_999));
            }
            _ => {}
        }
    }
    Ok(duration)
}

/// `grpc-message` is UTF-8 in percent encoding.
fn percent_decoded(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        let digits = behind.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(escaped) if byte == b'%' => {
                decoded.push(escaped);
                rest = &behind[2..];
            }
            _ => {
                decoded.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use suyuan_wire::protobuf::Writer;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(key, value): &(&'static str, &str)| {
            (http::HeaderName::from_static(key), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    fn details(seconds: u64, nanos: u64) -> String {
        let mut status = Writer::new();
        status.varint(1, 8);
        status.message(3, |any| {
            any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            any.message(2, |info| {
                info.message(1, |duration| {
                    duration.varint(1, seconds);
                    duration.varint(2, nanos);
                });
            });
        });
        STANDARD_NO_PAD.encode(status.into_bytes())
    }

    #[test]
    fn exhausted_is_worth_a_retry_only_with_a_time() {
        let without = headers(&[("grpc-status", "8"), ("grpc-message", "slow%20down %E2%98%95")]);
        let answered = answer(&without, b"", None);
        assert_eq!(answered.verdict, Verdict::Refused);
        assert_eq!(answered.status, "grpc RESOURCE_EXHAUSTED");
        assert_eq!(answered.reason, "slow down ☕");

        let details = details(1, 500_000_000);
        let with = headers(&[("grpc-status", "8"), ("grpc-status-details-bin", &details)]);
        let after = Some(Duration::from_millis(1500));
        assert_eq!(
            answer(&HeaderMap::new(), b"", Some(&with)).verdict,
            Verdict::TryAgain { after }
        );
    }

    #[test]
    fn nonsense_is_an_answer_too() {
        let no_status = answer(&HeaderMap::new(), b"garbage", None);
        assert_eq!(no_status.verdict, Verdict::TryAgain { after: None });
        let odd = headers(&[
            ("grpc-status", "8"),
            ("grpc-status-details-bin", "!!!"),
            ("grpc-message", "%zz%"),
        ]);
        assert_eq!(answer(&odd, b"", None).verdict, Verdict::Refused);
        assert_eq!(answer(&odd, b"", None).reason, "%zz%");
        let unknown = headers(&[("grpc-status", "99")]);
        assert_eq!(answer(&unknown, b"", None).status, "grpc (unknown code)");
        let accepted = headers(&[("grpc-status", "0")]);
        let verdict = Verdict::Accepted { n_spans_refused: 0 };
        assert_eq!(answer(&HeaderMap::new(), b"\0\0\0\0\x03gar", Some(&accepted)).verdict, verdict);
    }

    #[test]
    fn a_frame_is_flag_length_message() {
        assert_eq!(&frame(b"abc", true)[..], b"\x01\0\0\0\x03abc");
        assert_eq!(&frame(b"", false)[..], b"\0\0\0\0\0");
    }
}

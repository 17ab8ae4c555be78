//! What a gRPC client hears on this port: that the method does not exist here yet.
//!
//! In: any request whose content type is gRPC's. Out: an answer of headers alone with status
//! UNIMPLEMENTED and a text that names what exists, instead of a 404 that gRPC clients cannot
//! explain. Traces are received on another port, and that is the likeliest mistake.

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

const UNIMPLEMENTED: &str = "12";
/// In the percent-encoding of gRPC every printable ASCII character but `%` stands for itself.
const MESSAGE: &str = "no gRPC method is served on this port yet: traces are received over gRPC on \
                       the OTLP port (4317), and searched and read over HTTP at /api/search and \
                       /api/v2/traces/{id}; switch streaming off in the data source";

pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|value| value.starts_with("application/grpc"))
}

pub(crate) fn unimplemented() -> Response {
    let headers = [
        ("content-type", "application/grpc"),
        ("grpc-status", UNIMPLEMENTED),
        ("grpc-message", MESSAGE),
    ];
    (StatusCode::OK, headers).into_response()
}

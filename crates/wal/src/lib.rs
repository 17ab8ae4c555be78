//! A durable ordered log of opaque records; knows nothing of spans.

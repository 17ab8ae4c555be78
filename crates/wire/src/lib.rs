//! Bytes to table and back, pure: OTLP in protobuf and JSON, log records, answers.

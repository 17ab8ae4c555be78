//! The four answers about names and values, in both encodings.

use prost::Message as _;

use super::*;

#[derive(Clone, PartialEq, prost::Message)]
struct Texts {
    #[prost(string, repeated, tag = "1")]
    texts: Vec<String>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<Metrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scopes {
    #[prost(message, repeated, tag = "1")]
    scopes: Vec<Scope>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<Metrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "2")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Values {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
    #[prost(message, optional, tag = "2")]
    metrics: Option<Metrics>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Value {
    #[prost(string, tag = "1")]
    value_type: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Metrics {
    #[prost(uint64, tag = "1")]
    inspected_bytes: u64,
    #[prost(uint32, tag = "2")]
    total_jobs: u32,
    #[prost(uint32, tag = "3")]
    completed_jobs: u32,
}

const METRICS: MetadataMetrics =
    MetadataMetrics { inspected_bytes: 1 << 33, total_jobs: 2, completed_jobs: 1 };
const NOTHING: MetadataMetrics =
    MetadataMetrics { inspected_bytes: 0, total_jobs: 0, completed_jobs: 0 };
const SAID: Metrics = Metrics { inspected_bytes: 1 << 33, total_jobs: 2, completed_jobs: 1 };

fn check_json(bytes: Vec<u8>, expected: &str) {
    assert_eq!(String::from_utf8(bytes).expect("JSON is UTF-8"), expected);
}

#[test]
fn names_and_values_without_types() {
    let texts = ["a\"b", "服务"];
    check_json(
        names(texts.into_iter(), &METRICS, Encoding::Json),
        r#"{"tagNames":["a\"b","服务"],"metrics":{"inspectedBytes":"8589934592","totalJobs":2,"completedJobs":1}}"#,
    );
    check_json(
        values(texts.into_iter(), &NOTHING, Encoding::Json),
        r#"{"tagValues":["a\"b","服务"],"metrics":{}}"#,
    );
    check_json(names([].into_iter(), &NOTHING, Encoding::Json), r#"{"tagNames":[],"metrics":{}}"#);
    let bytes = values(texts.into_iter(), &METRICS, Encoding::Protobuf);
    let expected = Texts { texts: texts.map(str::to_owned).to_vec(), metrics: Some(SAID) };
    assert_eq!(Texts::decode(&*bytes).expect("well-formed"), expected);
}

#[test]
fn names_by_scope() {
    let scopes = [("resource", vec!["service.name"]), ("span", vec!["a", "b"])];
    let scopes = || scopes.iter().map(|(scope, names)| (*scope, names.iter().copied()));
    check_json(
        scoped_names(scopes(), &NOTHING, Encoding::Json),
        r#"{"scopes":[{"name":"resource","tags":["service.name"]},{"name":"span","tags":["a","b"]}],"metrics":{}}"#,
    );
    let bytes = scoped_names(scopes(), &METRICS, Encoding::Protobuf);
    let scope = |name: &str, tags: &[&str]| Scope {
        name: name.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    let expected = Scopes {
        scopes: vec![scope("resource", &["service.name"]), scope("span", &["a", "b"])],
        metrics: Some(SAID),
    };
    assert_eq!(Scopes::decode(&*bytes).expect("well-formed"), expected);
}

#[test]
fn values_with_their_types() {
    let pairs = [("string", ""), ("int", "500"), ("keyword", "error")];
    check_json(
        typed_values(pairs.into_iter(), &NOTHING, Encoding::Json),
        r#"{"tagValues":[{"type":"string"},{"type":"int","value":"500"},{"type":"keyword","value":"error"}],"metrics":{}}"#,
    );
    let bytes = typed_values(pairs.into_iter(), &METRICS, Encoding::Protobuf);
    let values = pairs
        .map(|(value_type, value)| Value { value_type: value_type.into(), value: value.into() });
    let expected = Values { values: values.to_vec(), metrics: Some(SAID) };
    assert_eq!(Values::decode(&*bytes).expect("well-formed"), expected);
}

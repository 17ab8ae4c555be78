//! A span as a sender would say it: one struct, nothing shared, nothing interned.

/// One span.
#[derive(Clone, Debug, PartialEq)]
pub struct RefSpan {
    pub trace_id: u128,
    pub span_id: u64,
    /// As sent: may be the span itself, or nobody.
    pub parent_span_id: Option<u64>,
    pub start_unix_nanos: i64,
    pub end_unix_nanos: i64,
    pub name: String,
    /// OTLP's number, whether it means something or not.
    pub kind: i32,
    pub status_code: i32,
    pub status_message: String,
    pub attributes: RefAttributes,
    pub events: Vec<RefEvent>,
    pub links: Vec<RefLink>,
    pub resource: RefAttributes,
    pub scope_name: String,
    pub scope_version: String,
    pub scope_attributes: RefAttributes,
}

/// In the order sent.
pub type RefAttributes = Vec<(String, RefValue)>;

#[derive(Clone, Debug, PartialEq)]
pub struct RefEvent {
    pub time_unix_nanos: u64,
    pub name: String,
    pub attributes: RefAttributes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RefLink {
    pub trace_id: Vec<u8>,
    pub span_id: Vec<u8>,
    pub attributes: RefAttributes,
}

/// The value of an attribute as sent.
#[derive(Clone, Debug, PartialEq)]
pub enum RefValue {
    /// A key without a value.
    Empty,
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Array(Vec<RefValue>),
    Map(RefAttributes),
}

/// OTLP's numbers.
pub const KIND_SERVER: i32 = 2;
pub const STATUS_ERROR: i32 = 2;

impl RefSpan {
    /// A span of which only the ids and the times are said.
    pub fn plain(trace_id: u128, span_id: u64, start_unix_nanos: i64, end_unix_nanos: i64) -> Self {
        Self {
            trace_id,
            span_id,
            parent_span_id: None,
            start_unix_nanos,
            end_unix_nanos,
            name: String::new(),
            kind: 0,
            status_code: 0,
            status_message: String::new(),
            attributes: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            resource: Vec::new(),
            scope_name: String::new(),
            scope_version: String::new(),
            scope_attributes: Vec::new(),
        }
    }

    /// Wrong clocks may make it negative.
    pub fn duration_nanos(&self) -> i64 {
        self.end_unix_nanos.wrapping_sub(self.start_unix_nanos)
    }

    /// The resource's first `service.name` that is a text; an empty one names nothing.
    pub fn service_name(&self) -> Option<&str> {
        let first = self.resource.iter().find_map(|(key, value)| match value {
            RefValue::Text(text) if key == "service.name" => Some(text.as_str()),
            _ => None,
        });
        first.filter(|name| !name.is_empty())
    }
}

/// The value of a key. Of several the first of its type counts, and of several types the one that
/// stands first in [`RefValue::rank`].
pub fn attribute<'a>(attributes: &'a [(String, RefValue)], key: &str) -> Option<&'a RefValue> {
    let values = attributes.iter().filter(|(name, _)| name == key).map(|(_, value)| value);
    values.min_by_key(|value| value.rank())
}

impl RefValue {
    fn rank(&self) -> u8 {
        match self {
            Self::Empty => 0,
            Self::Text(_) => 1,
            Self::Bool(_) => 2,
            Self::Int(_) => 3,
            Self::Double(_) => 4,
            Self::Bytes(_) => 5,
            Self::Array(_) => 6,
            Self::Map(_) => 7,
        }
    }
}

//! OTLP/JSON rewritten as OTLP protobuf bytes.
//!
//! In: JSON as SDKs, Collectors and browsers send it, camelCase or snake_case, and the field names
//! of OTLP before 0.15. Out: the same request in protobuf, for the one decoder that fills columns.
//! Streams through the text once: no tree of values is built, so memory stays within twice the
//! text. An id that is neither hexadecimal nor base64 becomes an empty one, and its span is
//! refused by name later; anything else that has the wrong type is an error with line and column.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::protobuf::Writer;

/// Rewrites a request.
pub fn to_protobuf(json: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    // Text that is not UTF-8 is repaired as it would be in protobuf.
    let text = String::from_utf8_lossy(json);
    let mut writer = Writer::new();
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    MessageSeed { message: &REQUEST, out: &mut writer }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(writer.into_bytes())
}

struct Message {
    name: &'static str,
    fields: &'static [Field],
}

struct Field {
    /// The lowerCamelCase name; snake_case is derived from it.
    name: &'static str,
    number: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Id,
    Bytes,
    Bool,
    Varint,
    Fixed32,
    Fixed64,
    Double,
    Enum(&'static [(&'static str, i32)]),
    Message(&'static Message),
    Repeated(&'static Message),
    Texts,
}

const fn field(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { name, number, kind }
}

static REQUEST: Message = Message {
    name: "ExportTraceServiceRequest",
    fields: &[field("resourceSpans", 1, Kind::Repeated(&RESOURCE_SPANS))],
};

static RESOURCE_SPANS: Message = Message {
    name: "ResourceSpans",
    fields: &[
        field("resource", 1, Kind::Message(&RESOURCE)),
        field("scopeSpans", 2, Kind::Repeated(&SCOPE_SPANS)),
        field("instrumentationLibrarySpans", 2, Kind::Repeated(&SCOPE_SPANS)),
        field("schemaUrl", 3, Kind::Text),
    ],
};

static RESOURCE: Message = Message {
    name: "Resource",
    fields: &[
        field("attributes", 1, Kind::Repeated(&KEY_VALUE)),
        field("droppedAttributesCount", 2, Kind::Varint),
        field("entityRefs", 3, Kind::Repeated(&ENTITY_REF)),
    ],
};

static ENTITY_REF: Message = Message {
    name: "EntityRef",
    fields: &[
        field("schemaUrl", 1, Kind::Text),
        field("type", 2, Kind::Text),
        field("idKeys", 3, Kind::Texts),
        field("descriptionKeys", 4, Kind::Texts),
    ],
};

static SCOPE_SPANS: Message = Message {
    name: "ScopeSpans",
    fields: &[
        field("scope", 1, Kind::Message(&SCOPE)),
        field("instrumentationLibrary", 1, Kind::Message(&SCOPE)),
        field("spans", 2, Kind::Repeated(&SPAN)),
        field("schemaUrl", 3, Kind::Text),
    ],
};

static SCOPE: Message = Message {
    name: "InstrumentationScope",
    fields: &[
        field("name", 1, Kind::Text),
        field("version", 2, Kind::Text),
        field("attributes", 3, Kind::Repeated(&KEY_VALUE)),
        field("droppedAttributesCount", 4, Kind::Varint),
    ],
};

static SPAN: Message = Message {
    name: "Span",
    fields: &[
        field("traceId", 1, Kind::Id),
        field("spanId", 2, Kind::Id),
        field("traceState", 3, Kind::Text),
        field("parentSpanId", 4, Kind::Id),
        field("name", 5, Kind::Text),
        field("kind", 6, Kind::Enum(SPAN_KINDS)),
        field("startTimeUnixNano", 7, Kind::Fixed64),
        field("endTimeUnixNano", 8, Kind::Fixed64),
        field("attributes", 9, Kind::Repeated(&KEY_VALUE)),
        field("droppedAttributesCount", 10, Kind::Varint),
        field("events", 11, Kind::Repeated(&EVENT)),
        field("droppedEventsCount", 12, Kind::Varint),
        field("links", 13, Kind::Repeated(&LINK)),
        field("droppedLinksCount", 14, Kind::Varint),
        field("status", 15, Kind::Message(&STATUS)),
        field("flags", 16, Kind::Fixed32),
    ],
};

static EVENT: Message = Message {
    name: "Span.Event",
    fields: &[
        field("timeUnixNano", 1, Kind::Fixed64),
        field("name", 2, Kind::Text),
        field("attributes", 3, Kind::Repeated(&KEY_VALUE)),
        field("droppedAttributesCount", 4, Kind::Varint),
    ],
};

static LINK: Message = Message {
    name: "Span.Link",
    fields: &[
        field("traceId", 1, Kind::Id),
        field("spanId", 2, Kind::Id),
        field("traceState", 3, Kind::Text),
        field("attributes", 4, Kind::Repeated(&KEY_VALUE)),
        field("droppedAttributesCount", 5, Kind::Varint),
        field("flags", 6, Kind::Fixed32),
    ],
};

static STATUS: Message = Message {
    name: "Status",
    fields: &[field("message", 2, Kind::Text), field("code", 3, Kind::Enum(STATUS_CODES))],
};

static KEY_VALUE: Message = Message {
    name: "KeyValue",
    fields: &[field("key", 1, Kind::Text), field("value", 2, Kind::Message(&ANY_VALUE))],
};

static ANY_VALUE: Message = Message {
    name: "AnyValue",
    fields: &[
        field("stringValue", 1, Kind::Text),
        field("boolValue", 2, Kind::Bool),
        field("intValue", 3, Kind::Varint),
        field("doubleValue", 4, Kind::Double),
        field("arrayValue", 5, Kind::Message(&ARRAY_VALUE)),
        field("kvlistValue", 6, Kind::Message(&KEY_VALUE_LIST)),
        field("bytesValue", 7, Kind::Bytes),
    ],
};

static ARRAY_VALUE: Message =
    Message { name: "ArrayValue", fields: &[field("values", 1, Kind::Repeated(&ANY_VALUE))] };

static KEY_VALUE_LIST: Message =
    Message { name: "KeyValueList", fields: &[field("values", 1, Kind::Repeated(&KEY_VALUE))] };

const SPAN_KINDS: &[(&str, i32)] = &[
    ("SPAN_KIND_UNSPECIFIED", 0),
    ("SPAN_KIND_INTERNAL", 1),
    ("SPAN_KIND_SERVER", 2),
    ("SPAN_KIND_CLIENT", 3),
    ("SPAN_KIND_PRODUCER", 4),
    ("SPAN_KIND_CONSUMER", 5),
];

const STATUS_CODES: &[(&str, i32)] =
    &[("STATUS_CODE_UNSET", 0), ("STATUS_CODE_OK", 1), ("STATUS_CODE_ERROR", 2)];

impl Message {
    fn field(&self, name: &str) -> Option<&'static Field>
    where
        Self: 'static,
    {
        let fields: &'static [Field] = self.fields;
        fields.iter().find(|f| f.name == name || is_snake_case_of(name, f.name))
    }
}

fn is_snake_case_of(name: &str, camel_case: &str) -> bool {
    let mut rest = name.bytes();
    let fits = camel_case.bytes().all(|byte| {
        if byte.is_ascii_uppercase() {
            rest.next() == Some(b'_') && rest.next() == Some(byte.to_ascii_lowercase())
        } else {
            rest.next() == Some(byte)
        }
    });
    fits && rest.next().is_none()
}

/// Reads an object and writes its fields.
struct MessageSeed<'w> {
    message: &'static Message,
    out: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object, OTLP's {}", self.message.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match self.message.field(&name) {
                Some(field) => map.next_value_seed(FieldSeed { field, out: &mut *self.out })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// Reads the value of one field and writes it; `null` is as if the field were absent.
struct FieldSeed<'w> {
    field: &'static Field,
    out: &'w mut Writer,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl FieldSeed<'_> {
    fn integer<E: Error>(self, value: i128) -> Result<(), E> {
        let number = self.field.number;
        let out_of_range = || E::custom(format!("{}: {value} is out of range", self.field.name));
        // Unsigned and signed 64-bit numbers share a varint; both ranges are taken.
        let bits = u64::try_from(value).or_else(|_| i64::try_from(value).map(|v| v as u64));
        match self.field.kind {
            Kind::Varint => self.out.varint(number, bits.map_err(|_| out_of_range())?),
            Kind::Fixed64 => {
                self.out.fixed64(number, u64::try_from(value).map_err(|_| out_of_range())?);
            }
            Kind::Fixed32 => {
                self.out.fixed32(number, u32::try_from(value).map_err(|_| out_of_range())?);
            }
            Kind::Enum(_) => {
                let value = i32::try_from(value).map_err(|_| out_of_range())?;
                self.out.varint(number, i64::from(value) as u64);
            }
            Kind::Double => self.out.double(number, value as f64),
            _ => return Err(self.wrong_type("a number")),
        }
        Ok(())
    }

    fn wrong_type<E: Error>(&self, found: &str) -> E {
        let expected = match self.field.kind {
            Kind::Text => "a string",
            Kind::Id => "a string of hexadecimal digits",
            Kind::Bytes => "a string in base64",
            Kind::Bool => "true or false",
            Kind::Varint | Kind::Fixed32 | Kind::Fixed64 => "an integer, or one as a string",
            Kind::Double => "a number",
            Kind::Enum(_) => "a number or a name",
            Kind::Message(_) => "an object",
            Kind::Repeated(_) => "an array of objects",
            Kind::Texts => "an array of strings",
        };
        E::custom(format!("{}: expected {expected}, found {found}", self.field.name))
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of {}", self.field.name)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        let Kind::Bool = self.field.kind else { return Err(self.wrong_type("a bool")) };
        self.out.varint(self.field.number, value.into());
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match self.field.kind {
            Kind::Double => {
                self.out.double(self.field.number, value);
                Ok(())
            }
            // JavaScript writes large integers as 1.7413920000000000e18.
            _ if value.fract() == 0.0 && value.abs() < 1e19 => self.integer(value as i128),
            _ => Err(self.wrong_type("a fraction")),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let number = self.field.number;
        match self.field.kind {
            Kind::Text => self.out.bytes(number, text.as_bytes()),
            Kind::Id => self.out.bytes(number, &id_bytes(text)),
            Kind::Bytes => {
                let bytes = STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text));
                let bytes = bytes.map_err(|e| E::custom(format!("{}: {e}", self.field.name)))?;
                self.out.bytes(number, &bytes);
            }
            Kind::Double => match text {
                "NaN" => self.out.double(number, f64::NAN),
                "Infinity" => self.out.double(number, f64::INFINITY),
                "-Infinity" => self.out.double(number, f64::NEG_INFINITY),
                _ => match text.parse() {
                    Ok(value) => self.out.double(number, value),
                    Err(_) => return Err(self.wrong_type("a string")),
                },
            },
            Kind::Enum(names) => match names.iter().find(|(name, _)| *name == text) {
                Some((_, value)) => self.out.varint(number, *value as u64),
                None => match text.parse::<i128>() {
                    Ok(value) => return self.integer(value),
                    Err(_) => return Err(self.wrong_type(&format!("{text:?}"))),
                },
            },
            Kind::Varint | Kind::Fixed32 | Kind::Fixed64 => match text.parse::<i128>() {
                Ok(value) => return self.integer(value),
                Err(_) => return Err(self.wrong_type(&format!("{text:?}"))),
            },
            Kind::Bool | Kind::Message(_) | Kind::Repeated(_) | Kind::Texts => {
                return Err(self.wrong_type("a string"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let Kind::Message(message) = self.field.kind else {
            return Err(self.wrong_type("an object"));
        };
        let body = self.out.start_message(self.field.number);
        MessageSeed { message, out: &mut *self.out }.visit_map(map)?;
        self.out.finish_message(body);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        match self.field.kind {
            Kind::Repeated(message) => {
                let element = ElementSeed { number: self.field.number, message };
                while elements.next_element_seed(element.at(self.out))?.is_some() {}
            }
            Kind::Texts => {
                while let Some(text) = elements.next_element::<Cow<'de, str>>()? {
                    self.out.bytes(self.field.number, text.as_bytes());
                }
            }
            _ => return Err(self.wrong_type("an array")),
        }
        Ok(())
    }
}

/// Reads one object of an array and writes it as a nested message.
#[derive(Clone, Copy)]
struct ElementSeed {
    number: u32,
    message: &'static Message,
}

struct ElementAt<'w> {
    element: ElementSeed,
    out: &'w mut Writer,
}

impl ElementSeed {
    fn at(self, out: &mut Writer) -> ElementAt<'_> {
        ElementAt { element: self, out }
    }
}

impl<'de> DeserializeSeed<'de> for ElementAt<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let body = self.out.start_message(self.element.number);
        MessageSeed { message: self.element.message, out: &mut *self.out }
            .deserialize(deserializer)?;
        self.out.finish_message(body);
        Ok(())
    }
}

/// Ids are hexadecimal in OTLP/JSON. Plain protobuf JSON (Tempo's answers among them) has base64,
/// which is told apart by its length. What is neither gives an empty id.
fn id_bytes(text: &str) -> Vec<u8> {
    if let Some(bytes) = from_hex(text) {
        return bytes;
    }
    let is_base64 = matches!(text.len(), 12 | 24) && text.ends_with('=');
    if is_base64 { STANDARD.decode(text).unwrap_or_default() } else { Vec::new() }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| (byte as char).to_digit(16);
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8))
        .collect()
}

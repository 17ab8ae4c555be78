//! Names and values of attributes as an answer: what editors offer while a query is typed.
//!
//! In: names and values in the order they are shown. Out: the bytes of the four messages of
//! `tempo.md 1.5` and `1.6`, in protobuf or JSON. Lists are there when they are empty: the
//! browser reads them without asking.

use super::Encoding;
use super::json_writer::JsonWriter;
use crate::protobuf::Writer;

/// What was done for an answer, as far as `tempopb.MetadataMetrics` can say it.
#[derive(Clone, Copy, Debug, Default)]
pub struct MetadataMetrics {
    pub inspected_bytes: u64,
    pub total_jobs: u32,
    pub completed_jobs: u32,
}

/// `SearchTagsResponse`.
pub fn names<'a>(
    names: impl Iterator<Item = &'a str>,
    metrics: &MetadataMetrics,
    encoding: Encoding,
) -> Vec<u8> {
    texts("tagNames", names, metrics, encoding)
}

/// `SearchTagValuesResponse`.
pub fn values<'a>(
    values: impl Iterator<Item = &'a str>,
    metrics: &MetadataMetrics,
    encoding: Encoding,
) -> Vec<u8> {
    texts("tagValues", values, metrics, encoding)
}

/// `SearchTagsV2Response`: scopes and the names in each.
pub fn scoped_names<'a, N: Iterator<Item = &'a str>>(
    scopes: impl Iterator<Item = (&'a str, N)>,
    metrics: &MetadataMetrics,
    encoding: Encoding,
) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut json = JsonWriter::begin(br#"{"scopes":["#);
            for (scope, names) in scopes {
                json.open_object();
                json.key("name");
                json.text(scope);
                json.key("tags");
                json.open_list();
                names.for_each(|name| json.text(name));
                json.close_list();
                json.close_object();
            }
            finish_json(json, metrics)
        }
        Encoding::Protobuf => {
            let mut writer = Writer::new();
            for (scope, names) in scopes {
                writer.message(1, |w| {
                    w.bytes(1, scope.as_bytes());
                    names.for_each(|name| w.bytes(2, name.as_bytes()));
                });
            }
            finish_protobuf(writer, metrics)
        }
    }
}

/// `SearchTagValuesV2Response`: type and text of each value.
pub fn typed_values<'a>(
    values: impl Iterator<Item = (&'a str, &'a str)>,
    metrics: &MetadataMetrics,
    encoding: Encoding,
) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut json = JsonWriter::begin(br#"{"tagValues":["#);
            for (value_type, text) in values {
                json.open_object();
                json.key("type");
                json.text(value_type);
                if !text.is_empty() {
                    json.key("value");
                    json.text(text);
                }
                json.close_object();
            }
            finish_json(json, metrics)
        }
        Encoding::Protobuf => {
            let mut writer = Writer::new();
            for (value_type, text) in values {
                writer.message(1, |w| {
                    w.bytes(1, value_type.as_bytes());
                    w.bytes(2, text.as_bytes());
                });
            }
            finish_protobuf(writer, metrics)
        }
    }
}

fn texts<'a>(
    list: &str,
    texts: impl Iterator<Item = &'a str>,
    metrics: &MetadataMetrics,
    encoding: Encoding,
) -> Vec<u8> {
    match encoding {
        Encoding::Json => {
            let mut json = JsonWriter::begin(b"{");
            json.key(list);
            json.open_list();
            texts.for_each(|text| json.text(text));
            finish_json(json, metrics)
        }
        Encoding::Protobuf => {
            let mut writer = Writer::new();
            texts.for_each(|text| writer.bytes(1, text.as_bytes()));
            finish_protobuf(writer, metrics)
        }
    }
}

/// Ends the list and says what was done.
fn finish_json(mut json: JsonWriter, metrics: &MetadataMetrics) -> Vec<u8> {
    json.close_list();
    json.key("metrics");
    json.open_object();
    if metrics.inspected_bytes != 0 {
        json.key("inspectedBytes");
        json.wide(metrics.inspected_bytes);
    }
    for (key, number) in
        [("totalJobs", metrics.total_jobs), ("completedJobs", metrics.completed_jobs)]
    {
        if number != 0 {
            json.key(key);
            json.narrow(number.into());
        }
    }
    json.close_object();
    json.close_object();
    json.into_bytes()
}

fn finish_protobuf(mut writer: Writer, metrics: &MetadataMetrics) -> Vec<u8> {
    writer.message(2, |w| {
        let fields = [
            (1, metrics.inspected_bytes),
            (2, metrics.total_jobs.into()),
            (3, metrics.completed_jobs.into()),
        ];
        for (field, number) in fields {
            if number != 0 {
                w.varint(field, number);
            }
        }
    });
    writer.into_bytes()
}

#[cfg(test)]
mod tests;

//! One pass over a protobuf request, straight into columns.
//!
//! Unknown fields are skipped, a singular field that comes twice is merged, as protobuf says. A
//! span whose own bytes are malformed is refused alone: the frame around it still holds.

use suyuan_ids::{IdError, SpanId, TraceId};
use suyuan_model::{AttributeOwner, EventHead, LinkHead, SpanHead, TableBuilder};

use super::value::{AnyValue, Merged, PlainValue, cut, first_elements, plain_key_value};
use super::{Decoded, RefusedReason, RefusedSpan, RequestError, Verdicts};
use crate::protobuf::{Malformed, Reader, Writer};
use crate::record::Limits;

/// The keys of a span's fields: number times 8 plus wire type.
const TRACE_ID: u32 = delimited(1);
const SPAN_ID: u32 = delimited(2);
const TRACE_STATE: u32 = delimited(3);
const PARENT_SPAN_ID: u32 = delimited(4);
const NAME: u32 = delimited(5);
const KIND: u32 = 6 << 3;
const START: u32 = 7 << 3 | 1;
const END: u32 = 8 << 3 | 1;
const ATTRIBUTE: u32 = delimited(9);
const DROPPED_ATTRIBUTES: u32 = 10 << 3;
const EVENT: u32 = delimited(11);
const DROPPED_EVENTS: u32 = 12 << 3;
const LINK: u32 = delimited(13);
const DROPPED_LINKS: u32 = 14 << 3;
const STATUS: u32 = delimited(15);
const FLAGS: u32 = 16 << 3 | 5;

/// What a byte of a request may become in the table: requests of real spans stay below 2, one of
/// empty events or of a new key for every value goes to 12 and 75.
const TABLE_BYTES_PER_BYTE_MAX: usize = 4;
/// What any request may take, however small.
const TABLE_BYTES_FREE: usize = 4 << 20;

const fn delimited(number: u32) -> u32 {
    number << 3 | 2
}

pub(super) fn request(
    body: &[u8],
    limits: &Limits,
    verdicts: Verdicts<'_>,
    table: &mut TableBuilder,
) -> Result<Decoded, RequestError> {
    let table_bytes_max = table.value_bytes()
        + TABLE_BYTES_FREE
        + body.len().saturating_mul(TABLE_BYTES_PER_BYTE_MAX);
    let decoded = Decoded::default();
    let mut walk = Walk { limits, verdicts, table, table_bytes_max, place: 0, decoded };
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field().map_err(at("request"))? {
        if field.number == 1 {
            let message = field.bytes().map_err(at("resource_spans"))?;
            walk.resource_spans(message)?;
        }
    }
    walk.decoded.repaired_texts += walk.table.take_repaired_texts();
    Ok(walk.decoded)
}

fn at(place: &'static str) -> impl Fn(Malformed) -> RequestError {
    move |error| RequestError::Protobuf { place, error }
}

struct Walk<'a> {
    limits: &'a Limits,
    verdicts: Verdicts<'a>,
    table: &'a mut TableBuilder,
    /// What the table may take when it has this request; the spans after that are refused.
    table_bytes_max: usize,
    /// The next span's place in the request.
    place: u32,
    decoded: Decoded,
}

/// A resource or scope: what it says, and its row once a span of it was let in.
struct Shared<'m> {
    message: &'m [u8],
    schema_url: &'m [u8],
    row: Option<u32>,
}

/// Gives a message and its schema URL a row.
type AddShared<W> = fn(&mut W, &[u8], &[u8]) -> Result<u32, Malformed>;

impl Walk<'_> {
    /// The resource is looked for first: it may stand behind the spans.
    fn resource_spans(&mut self, message: &[u8]) -> Result<(), RequestError> {
        let (mut resource, mut schema_url) = (Merged::default(), &b""[..]);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(at("resource_spans"))? {
            match field.number {
                1 => resource.add(field.bytes().map_err(at("resource"))?),
                3 => schema_url = field.bytes().map_err(at("resource_spans.schema_url"))?,
                _ => {}
            }
        }
        let mut resource = Shared { message: resource.bytes(), schema_url, row: None };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(at("resource_spans"))? {
            // 1000 is where OTLP 0.15 to 0.18 kept `instrumentation_library_spans`.
            if field.number == 2 || field.number == 1000 {
                self.scope_spans(field.bytes().map_err(at("scope_spans"))?, &mut resource)?;
            }
        }
        Ok(())
    }

    fn scope_spans(
        &mut self,
        message: &[u8],
        resource: &mut Shared<'_>,
    ) -> Result<(), RequestError> {
        let (mut scope, mut schema_url) = (Merged::default(), &b""[..]);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(at("scope_spans"))? {
            match field.number {
                1 => scope.add(field.bytes().map_err(at("scope"))?),
                3 => schema_url = field.bytes().map_err(at("scope_spans.schema_url"))?,
                _ => {}
            }
        }
        let mut scope = Shared { message: scope.bytes(), schema_url, row: None };
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field().map_err(at("scope_spans"))? {
            if field.number == 2 {
                self.span(field.bytes().map_err(at("span"))?, resource, &mut scope)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, message: &[u8], schema_url: &[u8]) -> Result<u32, Malformed> {
        if let Some(row) = self.table.find_resource(message, schema_url) {
            return Ok(row);
        }
        let (mut dropped, mut over) = (0u32, 0u32);
        let mut entity_refs = Writer::new();
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => {
                    let fit = self.attribute(AttributeOwner::Resource, field.bytes()?)?;
                    self.count_shared(&fit);
                    over += fit.over;
                }
                2 => dropped = field.varint()? as u32,
                3 => entity_refs.bytes(3, field.bytes()?),
                _ => {}
            }
        }
        let dropped = dropped.saturating_add(over);
        Ok(self.table.finish_resource(message, schema_url, dropped, entity_refs.as_bytes()))
    }

    fn scope(&mut self, message: &[u8], schema_url: &[u8]) -> Result<u32, Malformed> {
        if let Some(row) = self.table.find_scope(message, schema_url) {
            return Ok(row);
        }
        let (mut name, mut version) = (&b""[..], &b""[..]);
        let (mut dropped, mut over) = (0u32, 0u32);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => name = field.bytes()?,
                2 => version = field.bytes()?,
                3 => {
                    let fit = self.attribute(AttributeOwner::Scope, field.bytes()?)?;
                    self.count_shared(&fit);
                    over += fit.over;
                }
                4 => dropped = field.varint()? as u32,
                _ => {}
            }
        }
        let dropped = dropped.saturating_add(over);
        Ok(self.table.finish_scope(message, schema_url, name, version, dropped))
    }

    fn span(
        &mut self,
        message: &[u8],
        resource: &mut Shared<'_>,
        scope: &mut Shared<'_>,
    ) -> Result<(), RequestError> {
        let place = self.place;
        self.place += 1;
        let verdict = match self.verdicts {
            Verdicts::Repeat(refused) if refused.binary_search(&place).is_ok() => {
                Err(RefusedReason::Repeated)
            }
            Verdicts::Judge if self.table.value_bytes() > self.table_bytes_max => {
                Err(RefusedReason::TooMuchMemory)
            }
            _ => {
                let resource = self.row_of(resource, Self::resource).map_err(at("resource"))?;
                let scope = self.row_of(scope, Self::scope).map_err(at("scope"))?;
                self.span_row(message, resource, scope)
            }
        };
        match verdict {
            Ok(()) => self.decoded.accepted_spans += 1,
            Err(reason) => {
                self.table.abandon_span();
                self.decoded.refused.push(RefusedSpan { place, reason });
            }
        }
        Ok(())
    }

    /// Only a span that is let in gives its resource and scope a row: a request of nothing but
    /// resources takes no memory, neither now nor at every replay.
    fn row_of(&mut self, shared: &mut Shared<'_>, add: AddShared<Self>) -> Result<u32, Malformed> {
        if let Some(row) = shared.row {
            return Ok(row);
        }
        let row = add(self, shared.message, shared.schema_url)?;
        shared.row = Some(row);
        Ok(row)
    }

    fn span_row(&mut self, message: &[u8], resource: u32, scope: u32) -> Result<(), RefusedReason> {
        let mut head = SpanHead { resource, scope, ..SpanHead::default() };
        let (mut trace_id, mut span_id, mut parent) = (&b""[..], &b""[..], &b""[..]);
        let (mut start, mut end) = (0, 0);
        let (mut n_events, mut n_links) = (0u32, 0u32);
        let mut status = Merged::default();
        let mut over = Over::default();
        let mut reader = Reader::new(message);
        loop {
            match reader.next_key()? {
                0 => break,
                TRACE_ID => trace_id = reader.delimited()?,
                SPAN_ID => span_id = reader.delimited()?,
                TRACE_STATE => head.trace_state = reader.delimited()?,
                PARENT_SPAN_ID => parent = reader.delimited()?,
                NAME => head.name = reader.delimited()?,
                KIND => head.kind = reader.varint()? as i32,
                START => start = reader.fixed64()?,
                END => end = reader.fixed64()?,
                ATTRIBUTE => {
                    let fit = self.attribute(AttributeOwner::Span, reader.delimited()?)?;
                    over.attributes += fit.over;
                    head.cut_values += fit.cut;
                }
                DROPPED_ATTRIBUTES => head.dropped_attributes = reader.varint()? as u32,
                EVENT if n_events >= self.limits.events_max => {
                    reader.delimited()?;
                    over.events += 1;
                }
                EVENT => {
                    n_events += 1;
                    head.cut_values += self.event(reader.delimited()?)?;
                }
                DROPPED_EVENTS => head.dropped_events = reader.varint()? as u32,
                LINK if n_links >= self.limits.links_max => {
                    reader.delimited()?;
                    over.links += 1;
                }
                LINK => {
                    n_links += 1;
                    head.cut_values += self.link(reader.delimited()?)?;
                }
                DROPPED_LINKS => head.dropped_links = reader.varint()? as u32,
                STATUS => status.add(reader.delimited()?),
                FLAGS => head.flags = reader.fixed32()?,
                unknown => reader.skip(unknown, 16)?,
            }
        }
        let mut reader = Reader::new(status.bytes());
        while let Some(field) = reader.next_field()? {
            match field.number {
                2 => head.status_message = field.bytes()?,
                3 => head.status_code = field.varint()? as i32,
                _ => {}
            }
        }
        head.trace_id = *TraceId::from_slice(trace_id).map_err(RefusedReason::TraceId)?.as_bytes();
        let span_id = SpanId::from_slice(span_id).map_err(RefusedReason::SpanId)?;
        head.span_id = u64::from_be_bytes(*span_id.as_bytes());
        head.parent_span_id = parent_of(parent)?;
        head.start_unix_nanos = start.try_into().map_err(|_| RefusedReason::TimeOutOfRange)?;
        head.end_unix_nanos = end.try_into().map_err(|_| RefusedReason::TimeOutOfRange)?;
        for text in [&mut head.name, &mut head.status_message, &mut head.trace_state] {
            head.cut_values += u32::from(cut(text, self.limits.attribute_value_bytes_max));
        }
        head.dropped_attributes = head.dropped_attributes.saturating_add(over.attributes);
        head.dropped_events = head.dropped_events.saturating_add(over.events);
        head.dropped_links = head.dropped_links.saturating_add(over.links);
        self.table.finish_span(&head);
        self.count(&head, &over);
        Ok(())
    }

    fn count(&mut self, head: &SpanHead<'_>, over: &Over) {
        let decoded = &mut self.decoded;
        decoded.cut_values += u64::from(head.cut_values);
        decoded.dropped_attributes += u64::from(over.attributes);
        decoded.dropped_events += u64::from(over.events);
        decoded.dropped_links += u64::from(over.links);
        decoded.ends_before_start += u64::from(head.end_unix_nanos < head.start_unix_nanos);
        decoded.own_parent += u64::from(head.parent_span_id == Some(head.span_id));
    }

    /// Counts what happened to an attribute of a resource or scope.
    fn count_shared(&mut self, fit: &Fit) {
        self.decoded.cut_values += u64::from(fit.cut);
        self.decoded.dropped_attributes += u64::from(fit.over);
    }

    /// Returns how many values were cut.
    fn event(&mut self, message: &[u8]) -> Result<u32, Malformed> {
        let mut head = EventHead::default();
        let (mut cut_values, mut over) = (0, 0u32);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => head.time_unix_nanos = field.fixed64()?,
                2 => head.name = field.bytes()?,
                3 => {
                    let fit = self.attribute(AttributeOwner::Event, field.bytes()?)?;
                    over += fit.over;
                    cut_values += fit.cut;
                }
                4 => head.dropped_attributes = field.varint()? as u32,
                _ => {}
            }
        }
        cut_values += u32::from(cut(&mut head.name, self.limits.attribute_value_bytes_max));
        head.dropped_attributes = head.dropped_attributes.saturating_add(over);
        self.decoded.dropped_attributes += u64::from(over);
        self.table.finish_event(head);
        Ok(cut_values)
    }

    /// Returns how many values were cut.
    fn link(&mut self, message: &[u8]) -> Result<u32, Malformed> {
        let mut head = LinkHead::default();
        let (mut cut_values, mut over) = (0, 0u32);
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => head.trace_id = field.bytes()?,
                2 => head.span_id = field.bytes()?,
                3 => head.trace_state = field.bytes()?,
                4 => {
                    let fit = self.attribute(AttributeOwner::Link, field.bytes()?)?;
                    over += fit.over;
                    cut_values += fit.cut;
                }
                5 => head.dropped_attributes = field.varint()? as u32,
                6 => head.flags = field.fixed32()?,
                _ => {}
            }
        }
        for text in [&mut head.trace_id, &mut head.span_id, &mut head.trace_state] {
            cut_values += u32::from(cut(text, self.limits.attribute_value_bytes_max));
        }
        head.dropped_attributes = head.dropped_attributes.saturating_add(over);
        self.decoded.dropped_attributes += u64::from(over);
        self.table.finish_link(head);
        Ok(cut_values)
    }

    /// One `KeyValue` to what is being written.
    #[inline]
    fn attribute(&mut self, owner: AttributeOwner, message: &[u8]) -> Result<Fit, Malformed> {
        if let Some((key, value)) = plain_key_value(message)
            && key.len().max(value.len()) <= self.limits.attribute_value_bytes_max as usize
            && self.table.attributes_len(owner) < self.limits.attributes_max as usize
        {
            match value {
                PlainValue::String(text) => self.table.push_string(owner, key, text),
                PlainValue::Int(value) => self.table.push_int(owner, key, value),
            }
            return Ok(Fit { over: 0, cut: 0 });
        }
        self.any_attribute(owner, message)
    }

    /// As [`Self::attribute`], for all that `KeyValue` may say.
    #[inline(never)]
    fn any_attribute(&mut self, owner: AttributeOwner, message: &[u8]) -> Result<Fit, Malformed> {
        let (mut key, mut value) = (&b""[..], Merged::default());
        let mut reader = Reader::new(message);
        while let Some(field) = reader.next_field()? {
            match field.number {
                1 => key = field.bytes()?,
                2 => value.add(field.bytes()?),
                _ => {}
            }
        }
        let bytes_max = self.limits.attribute_value_bytes_max;
        let mut is_cut = cut(&mut key, bytes_max);
        let value = AnyValue::read(value.bytes(), &mut self.decoded.repaired_texts)?;
        if self.table.attributes_len(owner) >= self.limits.attributes_max as usize {
            return Ok(Fit { over: 1, cut: 0 });
        }
        match value {
            AnyValue::String(mut text) => {
                is_cut |= cut(&mut text, bytes_max);
                self.table.push_string(owner, key, text);
            }
            AnyValue::Int(value) => self.table.push_int(owner, key, value),
            AnyValue::Bool(value) => self.table.push_bool(owner, key, value),
            AnyValue::Double(value) => self.table.push_double(owner, key, value),
            AnyValue::Bytes(bytes) => {
                let kept = bytes.len().min(bytes_max as usize);
                is_cut |= kept < bytes.len();
                self.table.push_bytes(owner, key, &bytes[..kept]);
            }
            AnyValue::Array(message) => {
                let kept = first_elements(&message, bytes_max as usize);
                is_cut |= kept.len() < message.len();
                self.table.push_array(owner, key, kept);
            }
            AnyValue::Map(message) => {
                let kept = first_elements(&message, bytes_max as usize);
                is_cut |= kept.len() < message.len();
                self.table.push_map(owner, key, kept);
            }
            AnyValue::Empty => self.table.push_empty(owner, key),
        }
        Ok(Fit { over: 0, cut: u32::from(is_cut) })
    }
}

/// How an attribute fitted the limits.
struct Fit {
    over: u32,
    cut: u32,
}

/// What a span has over the limits.
#[derive(Default)]
struct Over {
    attributes: u32,
    events: u32,
    links: u32,
}

impl From<Malformed> for RefusedReason {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// A parent may be absent or all zero, which both say "none", but must not have another length.
fn parent_of(bytes: &[u8]) -> Result<Option<u64>, RefusedReason> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let exact: [u8; 8] = bytes.try_into().map_err(|_| {
        let error = IdError::WrongLength { bytes: bytes.len(), bytes_expected: 8 };
        RefusedReason::ParentSpanId(error)
    })?;
    Ok(Some(u64::from_be_bytes(exact)))
}

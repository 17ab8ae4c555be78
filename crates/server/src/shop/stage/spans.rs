//! How spans of the stage begin and end.
//!
//! In: what is known when an operation begins, and its outcome. Out: spans with status, error type
//! and exceptions, as the instrumentations write them. Who calls sees an error in every answer from
//! 400 up, who serves only in those that are its own fault (semantic conventions, HTTP).

use suyuan_ids::SpanId;

use super::super::failure::{Cause, Failure, error_type, exception, status_text};
use super::super::operation::{Door, Operation};
use super::super::service::{Instrument, Service, scope_index};
use super::super::span::{Attribute, Event, Kind, Span, Status, Text, attribute};
use super::{FLAGS_LOCAL, Opening, Outcome, Place, Stage};

impl Stage<'_> {
    pub(super) fn open(
        &mut self,
        parent_span_id: Option<SpanId>,
        (service, instance): (Service, u16),
        start: u64,
        opening: Opening,
    ) -> usize {
        self.spans.push(Span {
            trace_id: self.trace_id,
            span_id: SpanId::from_bytes(self.ids.bits().max(1).to_be_bytes()),
            parent_span_id,
            trace_state: self.trace_state,
            flags: opening.flags,
            name: opening.name,
            kind: opening.kind,
            start_unix_nanos: start,
            end_unix_nanos: start,
            attributes: opening.attributes,
            events: Vec::new(),
            links: Vec::new(),
            status: Status::Unset,
            instance,
            scope: scope_index(service.facts().language, opening.instrument),
        });
        self.spans.len() - 1
    }

    /// A span in the process of its parent.
    pub(super) fn open_leaf(
        &mut self,
        here: &Place,
        start: u64,
        name: impl Into<Text>,
        kind: Kind,
        instrument: Instrument,
        attributes: Vec<Attribute>,
    ) -> usize {
        let opening =
            Opening { name: name.into(), kind, instrument, flags: FLAGS_LOCAL, attributes };
        self.open(Some(here.span_id), (here.service, here.instance), start, opening)
    }

    pub(super) fn close(&mut self, span: usize, end: u64, status: Status) {
        self.spans[span].end_unix_nanos = end;
        self.spans[span].status = status;
    }

    /// Ends a span that failed here, not somewhere below.
    pub(super) fn close_failed(
        &mut self,
        span: usize,
        end: u64,
        failure: &Failure,
        service: Service,
        what: &str,
    ) {
        let event = exception(failure, service.facts(), what, end - 1, &mut self.random);
        self.spans[span].events.push(event);
        let error_type = error_type(service.facts().language, failure);
        self.spans[span].attributes.push(attribute("error.type", error_type));
        self.close(span, end, Status::Error(failure.message.clone()));
    }

    /// Ends the caller's side of a call. For a client an answer of the 400s is an error as well.
    pub(super) fn close_client(
        &mut self,
        span: usize,
        end: u64,
        failure: Option<&Failure>,
        service: Service,
    ) {
        let is_rpc = self.spans[span].attributes[0].key == "rpc.system.name";
        let outcome = match (is_rpc, failure) {
            (true, None) => attribute("rpc.response.status_code", "OK"),
            (true, Some(failure)) => attribute("rpc.response.status_code", rpc_status(failure)),
            (false, None) => attribute("http.response.status_code", 200),
            (false, Some(failure)) => {
                attribute("http.response.status_code", i64::from(failure.status))
            }
        };
        let is_unanswered = failure.is_some_and(|failure| failure.cause == Cause::Timeout);
        if is_rpc || !is_unanswered {
            self.spans[span].attributes.push(outcome);
        }
        match failure {
            None => self.close(span, end, Status::Unset),
            Some(failure) if is_unanswered => {
                self.close_failed(span, end, failure, service, "client");
            }
            Some(failure) => {
                let status = attribute("error.type", status_text(failure.status));
                self.spans[span].attributes.push(status);
                self.close(span, end, Status::Error(failure.message.clone()));
            }
        }
    }

    /// Ends the serving side. Only what the service is to blame for is an error.
    pub(super) fn close_served(
        &mut self,
        span: usize,
        outcome: Outcome,
        operation: &'static Operation,
        what: &str,
    ) -> Outcome {
        let failure = outcome.failure.as_ref();
        match operation.door {
            Door::Http { .. } => {
                let status = failure.map_or(200, |failure| failure.status);
                let status = attribute("http.response.status_code", i64::from(status));
                self.spans[span].attributes.push(status);
            }
            Door::Rpc { .. } => {
                let status = failure.map_or("OK", rpc_status);
                self.spans[span].attributes.push(attribute("rpc.response.status_code", status));
            }
            Door::Consume { .. } | Door::Job { .. } => {}
        }
        match failure {
            Some(failure) if failure.is_error() => {
                self.close_failed(span, outcome.end, failure, operation.service, what);
            }
            Some(failure) => {
                let why = attribute("shop.refusal", failure.message.clone());
                self.spans[span].attributes.push(why);
                self.close(span, outcome.end, Status::Unset);
            }
            None => self.close(span, outcome.end, Status::Unset),
        }
        outcome
    }

    /// A gateway passes on what it got; an exception is not its own, so it records none.
    pub(super) fn close_gateway(&mut self, span: usize, outcome: Outcome) -> Outcome {
        let status = outcome.failure.as_ref().map_or(200, |failure| failure.status);
        self.spans[span].attributes.push(attribute("http.response.status_code", i64::from(status)));
        let error = outcome.failure.as_ref().filter(|failure| failure.is_error());
        let span_status = match error {
            Some(failure) => {
                self.spans[span].attributes.push(attribute("error.type", status_text(status)));
                Status::Error(failure.message.clone())
            }
            None => Status::Unset,
        };
        self.close(span, outcome.end, span_status);
        outcome
    }

    pub(super) fn event(
        &mut self,
        span: usize,
        time: u64,
        name: &'static str,
        attributes: Vec<Attribute>,
    ) {
        self.spans[span].events.push(Event { time_unix_nanos: time, name, attributes });
    }

    pub(super) fn event_of(
        &mut self,
        span_id: SpanId,
        time: u64,
        name: &'static str,
        attributes: Vec<Attribute>,
    ) {
        if let Some(span) = self.spans.iter().rposition(|span| span.span_id == span_id) {
            self.event(span, time, name, attributes);
        }
    }

    pub(super) fn place(&self, span: usize, service: Service) -> Place {
        let Span { span_id, instance, .. } = self.spans[span];
        Place { service, instance, span_id }
    }
}

fn rpc_status(failure: &Failure) -> &'static str {
    match failure.status {
        401 | 403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "FAILED_PRECONDITION",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

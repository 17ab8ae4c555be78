//! The tables that are being filled, for each tenant.
//!
//! A pure machine without threads or clocks of its own: requests are staged (decoded into rows
//! nobody sees), then committed (the log has them: the rows may be seen) or failed (the rows are
//! taken back). The log answers in order, so staged requests queue; a full table waits at the
//! front until the log has all of it, while the next one takes rows.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use suyuan_ids::TraceId;
use suyuan_model::{Mark, Publication, TableBuilder, Tenant, UnixNanosRange};
use suyuan_wal::Position;
use suyuan_wire::otlp::{self, Decoded, RefusedReason, RefusedSpan, RequestError, Verdicts};
use suyuan_wire::record::{Format, Limits, RecordHeader};

use super::trace_sizes::TraceSizes;
use super::{LaneOptions, Submission, Surroundings};

/// Names a staged request until the log has answered.
pub(super) type Ticket = u64;

pub(super) struct Tables {
    options: LaneOptions,
    surroundings: Box<dyn Surroundings>,
    tenants: HashMap<Tenant, TenantTables>,
    next_ticket: Ticket,
    /// Rows in all tables and chunks of all tenants since the last cut.
    window_rows: u64,
    /// Tables that have rows which are durable and not published.
    has_unpublished: bool,
}

/// What staging a request gave.
pub(super) struct Staged {
    pub(super) decoded: Decoded,
    /// The name of the staged rows and the head of the record for the log; nothing if no span was
    /// accepted, for then there is nothing to remember.
    pub(super) record: Option<(Ticket, Bytes)>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    #[error(transparent)]
    Malformed(#[from] RequestError),
    #[error("there are {tenants_max} tenants already")]
    TooManyTenants { tenants_max: usize },
    #[error("the window holds {rows} rows already")]
    WindowFull { rows: u64 },
    #[error("the decoder panicked")]
    DecoderPanicked,
}

#[derive(Default)]
struct TenantTables {
    /// Full tables that wait for the log, oldest first, then the one that takes rows.
    tables: VecDeque<Table>,
    /// A builder that was emptied: its buffers are warm and its columns have experience.
    spare: Option<TableBuilder>,
    next_chunk: u32,
    sizes: TraceSizes,
}

#[derive(Default)]
struct Table {
    builder: TableBuilder,
    /// Those that the resources and scopes in the builder were cut by.
    limits: Option<Limits>,
    chunk: u32,
    durable_rows: u32,
    published_rows: u32,
    /// When the durable rows were received.
    received: Option<UnixNanosRange>,
    requests: VecDeque<StagedRequest>,
}

/// A request whose rows are in a table while the log has not answered.
struct StagedRequest {
    ticket: Ticket,
    before: Mark,
    body: RequestBody,
}

/// All that is needed to decode a request again.
struct RequestBody {
    received_unix_nanos: u64,
    format: Format,
    inflated: Bytes,
    limits: Limits,
    refused: Vec<u32>,
}

impl Tables {
    pub(super) fn new(options: LaneOptions, surroundings: Box<dyn Surroundings>) -> Self {
        Self {
            options,
            surroundings,
            tenants: HashMap::new(),
            next_ticket: 0,
            window_rows: 0,
            has_unpublished: false,
        }
    }

    pub(super) fn options(&self) -> &LaneOptions {
        &self.options
    }

    pub(super) fn has_unpublished(&self) -> bool {
        self.has_unpublished
    }

    /// Decodes a request into rows that wait for the log.
    pub(super) fn stage(&mut self, submission: Submission) -> Result<Staged, StageError> {
        let limits = self.options.limits;
        let received_unix_nanos = self.surroundings.now_unix_nanos();
        let inflated_bytes = submission.inflated.len() as u64;
        let tenant = submission.tenant;
        let mut body = RequestBody {
            received_unix_nanos,
            format: submission.format,
            inflated: submission.inflated,
            limits,
            refused: Vec::new(),
        };
        let is_known = self.tenants.contains_key(&tenant);
        let result = self.decode_new(&tenant, &mut body);
        let has_spans = matches!(&result, Ok((decoded, _)) if decoded.accepted_spans > 0);
        if !is_known && !has_spans {
            // Who sends nothing that is kept takes no tenant's place.
            self.tenants.remove(&tenant);
        }
        let (decoded, before) = result?;
        if decoded.accepted_spans == 0 {
            return Ok(Staged { decoded, record: None });
        }
        let header = RecordHeader {
            received_unix_nanos,
            tenant: tenant.clone(),
            format: body.format,
            compression: submission.compression,
            inflated_bytes,
            limits,
            refused: body.refused.clone(),
            accepted_spans: decoded.accepted_spans,
        };
        let ticket = self.keep_staged(&tenant, before, body, decoded.accepted_spans);
        Ok(Staged { decoded, record: Some((ticket, header.encode().into())) })
    }

    /// Decodes a request of the log again; its rows are durable.
    pub(super) fn replay(
        &mut self,
        header: &RecordHeader,
        inflated: Bytes,
    ) -> Result<(), StageError> {
        let tenant = &header.tenant;
        let body = RequestBody {
            received_unix_nanos: header.received_unix_nanos,
            format: header.format,
            inflated,
            limits: header.limits,
            refused: header.refused.clone(),
        };
        let tables = self.tenants.entry(tenant.clone()).or_default();
        tables.settle(tenant, &self.options, &mut *self.surroundings);
        let table = tables.open_table(&self.options);
        let before = table.builder.mark();
        let decoded = table.decode(&body, Verdicts::Repeat(&body.refused))?;
        tables.count_sizes(before);
        let ticket = self.keep_staged(tenant, before, body, decoded.accepted_spans);
        self.commit(tenant, ticket);
        Ok(())
    }

    /// The log has a staged request on disk.
    pub(super) fn commit(&mut self, tenant: &Tenant, ticket: Ticket) {
        let Some(tables) = self.tenants.get_mut(tenant) else { return };
        let Some((index, place)) = tables.find(ticket) else { return };
        debug_assert_eq!((index, place), (0, 0), "the log answers in order");
        let table = &mut tables.tables[index];
        if let Some(request) = table.requests.remove(place) {
            let received = UnixNanosRange::of(request.body.received_unix_nanos);
            let so_far = table.received.unwrap_or(received);
            table.received = Some(so_far.union(received));
        }
        table.durable_rows = match table.requests.front() {
            Some(next) => next.before.rows(),
            None => table.builder.n_rows(),
        };
        self.has_unpublished = true;
        tables.settle(tenant, &self.options, &mut *self.surroundings);
    }

    /// The log does not have a staged request, and never will.
    pub(super) fn fail(&mut self, tenant: &Tenant, ticket: Ticket) {
        let Some(tables) = self.tenants.get_mut(tenant) else { return };
        let Some((index, place)) = tables.find(ticket) else { return };
        let rows_before = tables.n_rows();
        // Everything staged later stands behind the rows that go: it is decoded again.
        let mut later = VecDeque::new();
        while tables.tables.len() > index + 1 {
            let mut table = tables.tables.pop_back().unwrap_or_default();
            table.requests.append(&mut later);
            later = std::mem::take(&mut table.requests);
            tables.retire(table);
            tables.next_chunk -= 1;
        }
        let table = &mut tables.tables[index];
        let mut rest = table.requests.split_off(place);
        let failed = rest.pop_front();
        rest.append(&mut later);
        if let Some(failed) = failed {
            table.builder.truncate(failed.before);
        }
        for request in rest {
            let table = tables.open_table(&self.options);
            let before = table.builder.mark();
            let verdicts = Verdicts::Repeat(&request.body.refused);
            match table.decode(&request.body, verdicts) {
                Ok(_) => table.requests.push_back(StagedRequest { before, ..request }),
                // It was decoded before, so it can be decoded now; should it not, its rows are
                // missing until the next start replays them from the log.
                Err(error) => {
                    tracing::error!(%error, "a request could not be decoded again");
                }
            }
        }
        self.window_rows -= rows_before.saturating_sub(tables.n_rows());
        tables.settle(tenant, &self.options, &mut *self.surroundings);
    }

    /// Publishes all durable rows that are not visible yet.
    pub(super) fn publish_due(&mut self) {
        self.has_unpublished = false;
        for (tenant, tables) in &mut self.tenants {
            for table in &mut tables.tables {
                if table.durable_rows > table.published_rows {
                    table.published_rows = table.durable_rows;
                    self.surroundings.publish(table.publication(tenant, false));
                }
            }
        }
    }

    /// Ends the window: every row is published in a final chunk, and the next window begins with
    /// chunk 0. Nothing may wait for the log. `log_end` is where the window ends in the log.
    pub(super) fn cut(&mut self, log_end: Option<Position>) {
        for (tenant, tables) in &mut self.tenants {
            tables.finish(tenant, &mut *self.surroundings);
        }
        // Who sent nothing in this window gives up its buffers and its place.
        self.tenants.retain(|_, tables| std::mem::take(&mut tables.next_chunk) > 0);
        self.window_rows = 0;
        self.has_unpublished = false;
        self.surroundings.cut(log_end);
    }

    /// How long those who submit shall wait.
    pub(super) fn pressure(&self) -> Duration {
        self.surroundings.pressure()
    }

    /// Decodes and judges a request that is new, to the end of the tenant's open table.
    fn decode_new(
        &mut self,
        tenant: &Tenant,
        body: &mut RequestBody,
    ) -> Result<(Decoded, Mark), StageError> {
        if self.window_rows >= self.options.window_rows_max {
            return Err(StageError::WindowFull { rows: self.window_rows });
        }
        let tenants_max = self.options.tenants_max;
        if !self.tenants.contains_key(tenant) && self.tenants.len() >= tenants_max {
            return Err(StageError::TooManyTenants { tenants_max });
        }
        let tables = self.tenants.entry(tenant.clone()).or_default();
        tables.settle(tenant, &self.options, &mut *self.surroundings);
        let table = tables.open_table(&self.options);
        let before = table.builder.mark();
        let mut decoded = table.decode(body, Verdicts::Judge)?;
        body.refused = decoded.refused.iter().map(|refused| refused.place).collect();

        let too_many = tables.rows_over_limit(
            tenant,
            body.limits.spans_per_trace_max,
            before,
            &*self.surroundings,
        );
        if !too_many.is_empty() {
            add_refused(&mut decoded, &too_many);
            body.refused = decoded.refused.iter().map(|refused| refused.place).collect();
            // The same table again, even if these rows have filled it.
            let table = tables.tables.back_mut().expect("the rows were decoded into it");
            table.builder.truncate(before);
            table.decode(body, Verdicts::Repeat(&body.refused))?;
        }
        Ok((decoded, before))
    }

    /// Remembers the request whose rows end the tenant's open table, and names it.
    fn keep_staged(
        &mut self,
        tenant: &Tenant,
        before: Mark,
        body: RequestBody,
        n_rows: u64,
    ) -> Ticket {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let tables = self.tenants.entry(tenant.clone()).or_default();
        if let Some(table) = tables.tables.back_mut() {
            table.requests.push_back(StagedRequest { ticket, before, body });
            self.window_rows += n_rows;
        }
        ticket
    }
}

impl TenantTables {
    /// The table that takes rows.
    fn open_table(&mut self, options: &LaneOptions) -> &mut Table {
        // What refused and failed requests leave behind in dictionaries may fill a table without a
        // row. It keeps its number: chunks follow each other without a gap.
        if let Some(table) = self.tables.back_mut()
            && table.is_full(options)
            && table.builder.n_rows() == 0
        {
            table.builder.clear();
        }
        let has_room = self.tables.back().is_some_and(|table| !table.is_full(options));
        if !has_room {
            let builder = self.spare.take().unwrap_or_default();
            self.tables.push_back(Table { builder, chunk: self.next_chunk, ..Table::default() });
            self.next_chunk += 1;
        }
        self.tables.back_mut().expect("a table was pushed if there was none")
    }

    /// Closes the first tables as long as they take no more rows and wait for nothing: all of them
    /// is durable.
    fn settle(
        &mut self,
        tenant: &Tenant,
        options: &LaneOptions,
        surroundings: &mut dyn Surroundings,
    ) {
        while let Some(first) = self.tables.front()
            && first.requests.is_empty()
            && first.builder.n_rows() > 0
            && (self.tables.len() > 1 || first.is_full(options))
            && let Some(table) = self.tables.pop_front()
        {
            debug_assert_eq!(table.durable_rows, table.builder.n_rows(), "all of it is durable");
            surroundings.publish(table.publication(tenant, true));
            self.retire(table);
        }
    }

    /// Closes all tables, of which the log has everything.
    fn finish(&mut self, tenant: &Tenant, surroundings: &mut dyn Surroundings) {
        for table in std::mem::take(&mut self.tables) {
            assert!(table.requests.is_empty(), "a window ends when the log has answered");
            if table.builder.n_rows() > 0 {
                surroundings.publish(table.publication(tenant, true));
            }
            self.retire(table);
        }
        self.sizes = TraceSizes::default();
    }

    fn find(&self, ticket: Ticket) -> Option<(usize, usize)> {
        self.tables.iter().enumerate().find_map(|(index, table)| {
            let place = table.requests.iter().position(|request| request.ticket == ticket)?;
            Some((index, place))
        })
    }

    fn retire(&mut self, table: Table) {
        let mut builder = table.builder;
        builder.clear();
        self.spare = Some(builder);
    }

    fn n_rows(&self) -> u64 {
        self.tables.iter().map(|table| u64::from(table.builder.n_rows())).sum()
    }

    /// Which of the rows after a mark of the last table make their trace larger than allowed,
    /// counted from the mark.
    fn rows_over_limit(
        &mut self,
        tenant: &Tenant,
        rows_max: u32,
        before: Mark,
        surroundings: &dyn Surroundings,
    ) -> Vec<u32> {
        self.count_sizes(before);
        let Some(open) = self.tables.back() else { return Vec::new() };
        let new_rows = &open.builder.trace_ids()[before.rows() as usize..];
        // Only traces that may be too large are counted, all of them in one pass.
        let suspects = new_rows.iter().filter(|id| self.sizes.may_exceed(id, rows_max));
        let mut sizes: HashMap<[u8; 16], u64> = suspects
            .map(|id| (*id, surroundings.trace_rows(tenant, TraceId::from_bytes(*id))))
            .collect();
        if sizes.is_empty() {
            return Vec::new();
        }
        for id in self.invisible_rows(before) {
            if let Some(size) = sizes.get_mut(id) {
                *size += 1;
            }
        }
        let mut over = Vec::new();
        for (place, id) in new_rows.iter().enumerate() {
            let Some(size) = sizes.get_mut(id) else { continue };
            *size += 1;
            if *size > u64::from(rows_max) {
                over.push(place as u32);
            }
        }
        over
    }

    /// Counts the rows after a mark of the last table.
    fn count_sizes(&mut self, before: Mark) {
        let Some(open) = self.tables.back() else { return };
        for trace_id in &open.builder.trace_ids()[before.rows() as usize..] {
            self.sizes.add(trace_id);
        }
    }

    /// The traces of the rows that stand before a mark of the last table and are not published.
    fn invisible_rows(&self, before: Mark) -> impl Iterator<Item = &[u8; 16]> {
        let n_tables = self.tables.len();
        self.tables.iter().enumerate().flat_map(move |(index, table)| {
            let is_last = index + 1 == n_tables;
            let end = if is_last { before.rows() } else { table.builder.n_rows() };
            let start = table.published_rows.min(end);
            &table.builder.trace_ids()[start as usize..end as usize]
        })
    }
}

impl Table {
    /// Decodes a request to the end of the table; an error leaves none of its rows there. A panic
    /// of the decoder costs this request and nothing else.
    fn decode(
        &mut self,
        body: &RequestBody,
        verdicts: Verdicts<'_>,
    ) -> Result<Decoded, StageError> {
        let builder = &mut self.builder;
        if self.limits != Some(body.limits) {
            self.limits = Some(body.limits);
            builder.forget_shared();
        }
        let before = builder.mark();
        let decode = || otlp::decode(body.format, &body.inflated, &body.limits, verdicts, builder);
        let result = match catch_unwind(AssertUnwindSafe(decode)) {
            Ok(result) => result.map_err(StageError::from),
            Err(_) => Err(StageError::DecoderPanicked),
        };
        result.inspect_err(|_| self.builder.truncate(before))
    }

    fn is_full(&self, options: &LaneOptions) -> bool {
        self.builder.n_rows() >= options.chunk_rows
            || self.builder.value_bytes() >= options.chunk_bytes
    }

    fn publication(&self, tenant: &Tenant, is_final: bool) -> Publication {
        Publication {
            tenant: tenant.clone(),
            chunk_number: self.chunk,
            chunk: Arc::new(self.builder.freeze()),
            visible_rows: self.durable_rows,
            received_unix_nanos: self.received.expect("rows that are visible were received"),
            is_final,
        }
    }
}

/// Adds spans that were decoded to those refused. `rows` are places among the accepted spans.
fn add_refused(decoded: &mut Decoded, rows: &[u32]) {
    let already: Vec<u32> = decoded.refused.iter().map(|refused| refused.place).collect();
    let n_spans = decoded.accepted_spans as usize + already.len();
    let accepted: Vec<u32> =
        (0..n_spans as u32).filter(|place| already.binary_search(place).is_err()).collect();
    for &row in rows {
        let place = accepted[row as usize];
        decoded.refused.push(RefusedSpan { place, reason: RefusedReason::TraceTooLarge });
    }
    decoded.refused.sort_by_key(|refused| refused.place);
    decoded.accepted_spans -= rows.len() as u64;
}

#[cfg(test)]
mod tests;

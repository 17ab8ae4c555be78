//! Writes groups of records: one vectored write and one fdatasync each.
//!
//! In: pending records. Out: one answer each, in order, after their bytes are durable. What never
//! happens: a second try on a file whose write or fsync failed. A kernel drops the pages that it
//! could not write and the next fsync succeeds, so such a file is closed for good; the segment after
//! it states how far it is valid, and only then are the failed records' waiters told.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::chain::{segment_name, unfinished_name};
use crate::disk::{is_full, write_all_at, write_all_vectored_at};
use crate::format::{
    ALIGNMENT_BYTES, Kind, Previous, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, Seal,
    SegmentHeader, record_bytes,
};
use crate::log::{AppendError, Counters, Options};
use crate::{Disk, DiskFile, Position, Uuid};

/// The file whose space lets a full disk still hold a segment header.
pub(crate) const RESERVE_NAME: &str = "reserve";

/// Room that every segment keeps for the mark of a clean close.
const CLOSING_BYTES: u64 = RECORD_HEADER_BYTES;

/// Whoever waits for a record.
pub(crate) type Done = Box<dyn FnOnce(Result<Position, AppendError>) + Send>;

/// A record on its way to the disk.
pub(crate) struct Pending {
    pub(crate) parts: Vec<Bytes>,
    pub(crate) payload_bytes: u32,
    pub(crate) payload_checksum: u32,
    pub(crate) done: Done,
}

impl Pending {
    fn record_bytes(&self) -> u64 {
        record_bytes(u64::from(self.payload_bytes))
    }

    fn answer(self, result: Result<Position, AppendError>) {
        let done = AssertUnwindSafe(|| (self.done)(result));
        if catch_unwind(done).is_err() {
            tracing::error!("the receiver of a log answer panicked; the log goes on");
        }
    }
}

/// The end of the log.
enum Tail {
    /// There is no segment at all.
    Nothing,
    /// Records go here.
    Open(OpenSegment),
    /// The last segment takes no more: it was found at start-up, or a write to it failed.
    Closed {
        previous: Previous,
        /// Bytes of failed records may stand after its end, and no successor states that end yet.
        unstated: bool,
    },
}

struct OpenSegment {
    file: Box<dyn DiskFile>,
    uuid: Uuid,
    number: u64,
    seal: Seal,
    /// Where the next record goes. Everything before it is durable.
    end: u64,
    /// The file's size.
    capacity: u64,
}

impl OpenSegment {
    fn previous(&self) -> Previous {
        Previous { uuid: self.uuid, number: self.number, end: self.end }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.end + bytes + CLOSING_BYTES <= self.capacity
    }
}

/// The one writer of a log.
pub(crate) struct Writer {
    disk: Arc<dyn Disk>,
    options: Options,
    log: Uuid,
    tail: Tail,
    /// Whether the reserve file is there.
    reserve: bool,
    counters: Arc<Counters>,
}

impl Writer {
    /// Goes on after `last`, the end of the last segment that start-up found.
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        options: Options,
        log: Uuid,
        last: Option<Previous>,
        counters: Arc<Counters>,
    ) -> Self {
        let tail = match last {
            None => Tail::Nothing,
            Some(previous) => Tail::Closed { previous, unstated: false },
        };
        Self { disk, options, log, tail, reserve: false, counters }
    }

    /// Makes all records durable, in as few groups as segments allow, and answers them in order.
    pub(crate) fn commit(&mut self, mut pending: VecDeque<Pending>) {
        while let Some(first) = pending.front() {
            if let Err(error) = self.make_room(first.record_bytes()) {
                self.counters.failed(&error, pending.len());
                pending.into_iter().for_each(|record| record.answer(Err(error.clone())));
                return;
            }
            let group = self.take_group(&mut pending);
            match self.write_group(&group) {
                Ok(positions) => {
                    for (record, position) in group.into_iter().zip(positions) {
                        self.counters.appended(record.payload_bytes);
                        record.answer(Ok(position));
                    }
                }
                Err(error) => {
                    let error = if self.give_up_segment() { error } else { error.unsettled() };
                    self.counters.failed(&error, group.len());
                    group.into_iter().for_each(|record| record.answer(Err(error.clone())));
                }
            }
        }
    }

    /// Ends the log cleanly: states what failed if that is still to be stated, else writes a last
    /// mark, so that damage to the last group is never taken for a torn tail.
    pub(crate) fn close(&mut self) {
        if matches!(self.tail, Tail::Closed { unstated: true, .. }) && !self.state_end() {
            tracing::warn!("records that failed may be found again: the log could not say so");
        }
        let Tail::Open(segment) = &self.tail else { return };
        let number = segment.number;
        let close = || {
            segment.close()?;
            Ok(segment.capacity.saturating_sub(segment.end + CLOSING_BYTES))
        };
        if let Err(error) = self.counters.files_shrink(0, close) {
            tracing::warn!(%error, "segment {number} of the log was left without a closing mark");
        }
    }

    /// Takes the reserve if it is not there.
    pub(crate) fn take_reserve(&mut self) -> io::Result<()> {
        if self.reserve || self.options.reserve_bytes == 0 {
            return Ok(());
        }
        let bytes = self.options.reserve_bytes.max(SEGMENT_HEADER_BYTES + CLOSING_BYTES);
        if let Ok(file) = self.disk.open(RESERVE_NAME)
            && file.size()? == bytes
        {
            // The one of an earlier run: on a full disk a new one could not be had.
            self.reserve = true;
            return Ok(());
        }
        let file = self.disk.create(RESERVE_NAME, bytes)?;
        if let Err(error) = file.sync_data().and_then(|()| self.disk.sync_folder("")) {
            let _ = self.disk.remove(RESERVE_NAME);
            return Err(error);
        }
        self.reserve = true;
        Ok(())
    }

    /// A segment with room for a record of `bytes`, the current one or a new one.
    fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        if let Tail::Open(segment) = &self.tail
            && segment.has_room(bytes)
        {
            return Ok(());
        }
        // Space that comes back fills the reserve first, else the next full disk finds none.
        self.take_reserve().map_err(AppendError::from_write)?;
        let needed = SEGMENT_HEADER_BYTES + bytes + CLOSING_BYTES;
        let capacity = self.options.segment_bytes_max.max(needed);
        self.begin_segment(capacity).map_err(AppendError::from_write)
    }

    /// The front of the queue, as much of it as fits the segment.
    fn take_group(&self, pending: &mut VecDeque<Pending>) -> Vec<Pending> {
        let Tail::Open(segment) = &self.tail else { return Vec::new() };
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(next) = pending.front()
            && segment.has_room(bytes + next.record_bytes())
            && let Some(next) = pending.pop_front()
        {
            bytes += next.record_bytes();
            group.push(next);
        }
        assert!(!group.is_empty(), "make_room made room for the first record");
        group
    }

    fn write_group(&mut self, group: &[Pending]) -> Result<Vec<Position>, AppendError> {
        let Tail::Open(segment) = &mut self.tail else {
            unreachable!("make_room opened a segment");
        };
        let (end, positions) = segment.write(group).map_err(AppendError::from_write)?;
        let begin = Instant::now();
        let synced = segment.file.sync_data();
        self.counters.synced(begin.elapsed());
        synced.map_err(AppendError::from_sync)?;
        segment.end = end;
        Ok(positions)
    }

    /// Closes the segment whose write or fsync failed at its durable end, and states that end.
    fn give_up_segment(&mut self) -> bool {
        if let Tail::Open(segment) = &self.tail {
            self.tail = Tail::Closed { previous: segment.previous(), unstated: true };
        }
        self.state_end()
    }

    /// Begins a segment that states the end of the last one; on a full disk the reserve becomes
    /// that segment. Whether it is durable.
    fn state_end(&mut self) -> bool {
        match self.begin_segment(self.options.segment_bytes_max) {
            Ok(()) => true,
            Err(error) if is_full(&error) && self.reserve => {
                let begun = self.begin_segment_in_reserve();
                begun
                    .inspect_err(|error| tracing::error!(%error, "the log's reserve failed"))
                    .is_ok()
            }
            Err(error) => {
                tracing::error!(%error, "the log cannot begin a segment after a failed write");
                false
            }
        }
    }

    fn begin_segment(&mut self, capacity: u64) -> io::Result<()> {
        let (header, name) = self.next_segment()?;
        let unfinished = unfinished_name(&name);
        let file = self.disk.create(&unfinished, capacity)?;
        self.close_tail();
        let begun = self.publish_segment(file.as_ref(), &header, &unfinished, &name);
        if let Err(error) = begun {
            // Whichever name it has by now: no record was ever written to it.
            let _ = self.disk.remove(&unfinished);
            return Err(error);
        }
        self.continue_in(file, &header, capacity);
        Ok(())
    }

    /// The reserve holds the header alone: it takes no records, so the next one needs new space.
    fn begin_segment_in_reserve(&mut self) -> io::Result<()> {
        let (header, name) = self.next_segment()?;
        self.reserve = false;
        let file = self.disk.open(RESERVE_NAME)?;
        self.close_tail();
        self.publish_segment(file.as_ref(), &header, RESERVE_NAME, &name)?;
        tracing::warn!("the disk is full: the log used its reserve to state what failed");
        self.continue_in(file, &header, SEGMENT_HEADER_BYTES + CLOSING_BYTES);
        Ok(())
    }

    fn next_segment(&self) -> io::Result<(SegmentHeader, String)> {
        let previous = match &self.tail {
            Tail::Nothing => None,
            Tail::Open(segment) => Some(segment.previous()),
            Tail::Closed { previous, .. } => Some(*previous),
        };
        let last = previous.map_or(0, |previous| previous.number);
        let number = last.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
        let uuid = self.disk.random_uuid()?;
        Ok((SegmentHeader { uuid, log: self.log, number, previous }, segment_name(number)))
    }

    /// The last segment takes nothing more once a header that states its end may reach the disk,
    /// even if that fails: the name could survive a crash and cut off whatever came later.
    fn close_tail(&mut self) {
        if let Tail::Open(segment) = &self.tail {
            self.tail = Tail::Closed { previous: segment.previous(), unstated: false };
        }
    }

    /// Bytes first, then the name, each durable before the next step.
    fn publish_segment(
        &self,
        file: &dyn DiskFile,
        header: &SegmentHeader,
        source: &str,
        target: &str,
    ) -> io::Result<()> {
        write_all_at(file, 0, &header.page())?;
        file.sync_data()?;
        self.disk.rename(source, target)?;
        self.disk.sync_folder("")
    }

    fn continue_in(&mut self, file: Box<dyn DiskFile>, header: &SegmentHeader, capacity: u64) {
        self.trim_previous(header.previous);
        self.counters.segment_added(file.size().unwrap_or(capacity));
        self.tail = Tail::Open(OpenSegment {
            file,
            uuid: header.uuid,
            number: header.number,
            seal: Seal::new(header.uuid),
            end: SEGMENT_HEADER_BYTES,
            capacity,
        });
    }

    /// Gives back what the closed segment did not use. Its end is stated by now, so nothing is lost
    /// if this fails.
    fn trim_previous(&self, previous: Option<Previous>) {
        let Some(previous) = previous else { return };
        let trim = || {
            let file = self.disk.open(&segment_name(previous.number))?;
            let bytes = file.size()?;
            if bytes > previous.end {
                file.truncate(previous.end)?;
            }
            Ok(bytes.saturating_sub(previous.end))
        };
        match self.counters.files_shrink(0, trim) {
            Ok(_) => {}
            // It was truncated away meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, "segment {} keeps its unused space", previous.number);
            }
        }
    }
}

impl OpenSegment {
    /// Writes the records after the end, unsynced. Returns where they end and where each begins.
    fn write(&self, group: &[Pending]) -> io::Result<(u64, Vec<Position>)> {
        let mut headers = Vec::with_capacity(group.len());
        let mut positions = Vec::with_capacity(group.len());
        let mut offset = self.end;
        for record in group {
            let header = RecordHeader {
                kind: Kind::Record,
                payload_bytes: record.payload_bytes,
                payload_checksum: record.payload_checksum,
                synced_end: self.end,
            };
            headers.push(self.seal.encode(offset, &header));
            positions.push(Position { segment: self.number, offset });
            offset += header.record_bytes();
        }
        let mut slices = Vec::with_capacity(3 * group.len());
        for (record, header) in group.iter().zip(&headers) {
            slices.push(IoSlice::new(header));
            slices.extend(record.parts.iter().map(|part| IoSlice::new(part)));
            slices.push(IoSlice::new(padding(record.payload_bytes)));
        }
        write_all_vectored_at(self.file.as_ref(), self.end, &mut slices)?;
        Ok((offset, positions))
    }

    fn close(&self) -> io::Result<()> {
        let mark = RecordHeader {
            kind: Kind::Mark,
            payload_bytes: 0,
            payload_checksum: 0,
            synced_end: self.end,
        };
        write_all_at(self.file.as_ref(), self.end, &self.seal.encode(self.end, &mark))?;
        self.file.truncate(self.end + CLOSING_BYTES)?;
        self.file.sync_data()
    }
}

/// The zeros after a payload.
fn padding(payload_bytes: u32) -> &'static [u8] {
    const ZEROS: [u8; ALIGNMENT_BYTES as usize] = [0; ALIGNMENT_BYTES as usize];
    let payload_bytes = u64::from(payload_bytes);
    let bytes = payload_bytes.next_multiple_of(ALIGNMENT_BYTES) - payload_bytes;
    ZEROS.split_at(bytes as usize).0
}

//! Writes one object in parts.
//!
//! In: bytes. Out: an object, or nothing: dropped before the end the upload is aborted. An object
//! that fits into one part is put at once. Holds as many parts in memory as may be on their way,
//! and the one being filled.

use std::collections::VecDeque;
use std::io::{self, Write};

use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};

use super::{Bucket, CallError, Pending, S3Objects};
use crate::{ObjectError, ObjectWriter};

/// As many as S3 takes.
const PARTS_MAX: u64 = 10_000;

pub(super) struct S3Writer {
    bucket: Bucket,
    path: String,
    key: Path,
    part_bytes: usize,
    parts_in_flight_max: usize,
    /// The part being filled.
    buffer: Vec<u8>,
    /// There is one as soon as a part was full.
    upload: Option<Box<dyn MultipartUpload>>,
    in_flight: VecDeque<Pending<()>>,
    n_parts: u64,
    written_bytes: u64,
    is_broken: bool,
}

impl S3Writer {
    pub(super) fn new(objects: &S3Objects, path: String, key: Path) -> Self {
        Self {
            bucket: objects.bucket.clone(),
            path,
            key,
            part_bytes: objects.part_bytes,
            parts_in_flight_max: objects.parts_in_flight_max,
            buffer: Vec::new(),
            upload: None,
            in_flight: VecDeque::new(),
            n_parts: 0,
            written_bytes: 0,
            is_broken: false,
        }
    }

    fn send_part(&mut self) -> Result<(), io::Error> {
        if self.n_parts == PARTS_MAX {
            return Err(io::Error::other("a store takes 10,000 parts of an object, not more"));
        }
        while self.in_flight.len() >= self.parts_in_flight_max.max(1) {
            self.await_oldest_part().map_err(io::Error::other)?;
        }
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => {
                let key = self.key.clone();
                let begun = self
                    .bucket
                    .wait(|store| async move { store.put_multipart(&key).await })
                    .map_err(io::Error::other)?;
                none.insert(begun)
            }
        };
        let part = Bytes::from(std::mem::take(&mut self.buffer));
        self.in_flight.push_back(self.bucket.start(upload.put_part(part.into())));
        self.n_parts += 1;
        Ok(())
    }

    fn await_oldest_part(&mut self) -> Result<(), CallError> {
        self.in_flight.pop_front().map_or(Ok(()), Pending::wait)
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.buffer.len() == self.part_bytes {
                self.send_part()?;
            }
            let room = self.part_bytes - self.buffer.len();
            let (taken, left) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(taken);
            self.written_bytes += taken.len() as u64;
            bytes = left;
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), io::Error> {
        if self.upload.is_some() {
            self.send_part()?;
        }
        while !self.in_flight.is_empty() {
            self.await_oldest_part().map_err(io::Error::other)?;
        }
        let done = match self.upload.take() {
            Some(mut upload) => {
                let key = self.key.clone();
                self.bucket.wait(|_| async move {
                    let completed = upload.complete().await;
                    if completed.is_err()
                        && let Err(error) = upload.abort().await
                    {
                        tracing::warn!(%key, %error, "cannot abort an upload");
                    }
                    completed.map(drop)
                })
            }
            None => {
                let (key, bytes) =
                    (self.key.clone(), Bytes::from(std::mem::take(&mut self.buffer)));
                self.bucket
                    .wait(|store| async move { store.put(&key, bytes.into()).await.map(drop) })
            }
        };
        done.map_err(io::Error::other)
    }
}

impl Write for S3Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_broken {
            return Err(io::Error::other("an earlier write of this object failed"));
        }
        self.append(bytes).inspect_err(|_| self.is_broken = true)?;
        Ok(bytes.len())
    }

    /// Does nothing: nobody can see an unfinished object.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ObjectWriter for S3Writer {
    fn finish(mut self: Box<Self>) -> Result<u64, ObjectError> {
        if self.is_broken {
            let reason = "an earlier write of it failed";
            return Err(ObjectError::failed("write", &self.path, reason));
        }
        self.complete().map_err(|error| ObjectError::failed("write", &self.path, error))?;
        Ok(self.written_bytes)
    }
}

impl Drop for S3Writer {
    fn drop(&mut self) {
        self.in_flight.clear();
        let Some(mut upload) = self.upload.take() else { return };
        // Parts of an upload that is neither completed nor aborted are invisible and cost money.
        let aborted = self.bucket.wait(|_| async move { upload.abort().await });
        if let Err(error) = aborted {
            tracing::warn!(
                path = self.path,
                %error,
                "cannot abort an upload: a lifecycle rule of the bucket should remove its parts"
            );
        }
    }
}

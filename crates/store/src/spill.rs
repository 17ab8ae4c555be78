//! Moves finished chunks to scratch files when memory runs short.
//!
//! In: finished chunks, oldest first. Out: files in the live directory, one a chunk, written
//! without fsync (the log can rebuild them) and read with pread (mapped pages would count as
//! memory). A chunk whose file cannot be written stays in memory: losing memory is better than
//! losing data.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::JoinHandle;

use suyuan_model::Chunk;

use crate::Options;
use crate::chunk_file::{self, SpilledChunk};
use crate::chunk_keys::ChunkKeys;
use crate::metrics::Metrics;
use crate::window::Window;

/// The thread that writes scratch files.
pub(crate) struct Spill {
    finished: Option<Sender<Finished>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Finished {
    /// Gone when the window is in a block and nobody reads it any more.
    window: Weak<RwLock<Window>>,
    number: u32,
    chunk: Weak<Chunk>,
    bytes: u64,
}

impl Spill {
    pub(crate) fn start(options: &Options, metrics: Metrics) -> io::Result<Self> {
        empty(&options.live_directory)?;
        let (finished, inbox) = mpsc::channel();
        let directory = options.live_directory.clone();
        let bytes_max = options.resident_bytes_max;
        let thread = std::thread::Builder::new()
            .name("suyuan-spill".to_owned())
            .spawn(move || run(&inbox, &directory, bytes_max, &metrics))?;
        Ok(Self { finished: Some(finished), thread: Mutex::new(Some(thread)) })
    }

    /// Takes note of a chunk that is finished and may be moved.
    pub(crate) fn add(&self, window: Arc<RwLock<Window>>, number: u32, chunk: Arc<Chunk>) {
        if let Some(finished) = &self.finished
            && finished.send(Finished::new(&window, number, &chunk)).is_err()
        {
            tracing::error!("the spill thread is gone: live data stays in memory");
        }
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        self.finished = None;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the spill thread panicked");
        }
    }
}

impl Finished {
    fn new(window: &Arc<RwLock<Window>>, number: u32, chunk: &Arc<Chunk>) -> Self {
        let bytes = chunk_file::encoded_bytes(chunk);
        Self { window: Arc::downgrade(window), number, chunk: Arc::downgrade(chunk), bytes }
    }

    fn is_gone(&self) -> bool {
        self.window.strong_count() == 0
    }
}

fn run(inbox: &Receiver<Finished>, directory: &Path, bytes_max: u64, metrics: &Metrics) {
    let mut resident: VecDeque<Finished> = VecDeque::new();
    let mut resident_bytes = 0;
    let mut n_files = 0u64;
    while let Ok(finished) = inbox.recv() {
        resident_bytes += finished.bytes;
        resident.push_back(finished);
        // Windows go as a whole and in order, so those that are gone stand in front.
        while let Some(oldest) = resident.front()
            && (oldest.is_gone() || resident_bytes > bytes_max)
            && let Some(oldest) = resident.pop_front()
        {
            if oldest.is_gone() {
                resident_bytes -= oldest.bytes;
                continue;
            }
            let path = directory.join(format!("{n_files:010}.chunk"));
            n_files += 1;
            match spill(&oldest, path.clone()) {
                Ok(bytes) => {
                    resident_bytes -= oldest.bytes;
                    metrics.spilled(bytes);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "live data stays in memory");
                    metrics.spill_failed();
                    resident.push_front(oldest);
                    break;
                }
            }
        }
        metrics.set_resident_bytes(resident_bytes);
    }
}

/// Moves a chunk to a file. Returns the bytes written.
fn spill(finished: &Finished, path: PathBuf) -> io::Result<u64> {
    let (Some(window), Some(chunk)) = (finished.window.upgrade(), finished.chunk.upgrade()) else {
        return Ok(0);
    };
    let directory = chunk_file::write(&path, &chunk)?;
    let spilled = Arc::new(SpilledChunk::new(path, directory, ChunkKeys::of(&chunk)));
    let mut window = window.write().unwrap_or_else(PoisonError::into_inner);
    window.set_spilled(finished.number, spilled);
    Ok(finished.bytes)
}

/// Makes the directory and removes what an earlier run left in it.
fn empty(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "chunk") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

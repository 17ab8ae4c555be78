//! Moves finished chunks to scratch files when memory runs short.
//!
//! In: finished chunks, oldest first. Out: files in the live directory, one a chunk, written
//! without fsync (the log can rebuild them) and read with pread (mapped pages would count as
//! memory). A chunk whose file cannot be written stays in memory: losing memory is better than
//! losing data.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use suyuan_model::Chunk;

use crate::Options;
use crate::chunk_file::{self, SpilledChunk};
use crate::metrics::Metrics;
use crate::window::Window;

/// The thread that writes scratch files.
pub(crate) struct Spill {
    finished: Option<Sender<Finished>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Finished {
    window: Arc<RwLock<Window>>,
    number: u32,
    chunk: Arc<Chunk>,
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
            && finished.send(Finished { window, number, chunk }).is_err()
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

fn run(inbox: &Receiver<Finished>, directory: &Path, bytes_max: u64, metrics: &Metrics) {
    let mut resident: VecDeque<(Finished, u64)> = VecDeque::new();
    let mut resident_bytes = 0;
    let mut n_files = 0u64;
    while let Ok(finished) = inbox.recv() {
        let bytes = chunk_file::encoded_bytes(&finished.chunk);
        resident_bytes += bytes;
        resident.push_back((finished, bytes));
        while resident_bytes > bytes_max
            && let Some((oldest, bytes)) = resident.pop_front()
        {
            let path = directory.join(format!("{n_files:010}.chunk"));
            n_files += 1;
            match chunk_file::write(&path, &oldest.chunk) {
                Ok(()) => {
                    let mut window = oldest.window.write().unwrap_or_else(PoisonError::into_inner);
                    window.set_spilled(oldest.number, Arc::new(SpilledChunk::new(path)));
                    resident_bytes -= bytes;
                    metrics.spilled(bytes);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "live data stays in memory");
                    metrics.spill_failed();
                    resident.push_front((oldest, bytes));
                    break;
                }
            }
        }
        metrics.set_resident_bytes(resident_bytes);
    }
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

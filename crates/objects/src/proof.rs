//! Proves at start-up that a store never lets two writers create the same object.
//!
//! In: a store. Out: nothing, or why the program must not run on it: the catalog's only commit is
//! that of two who create an entry one is refused (`design.md 5`, catalog).

use bytes::Bytes;

use crate::{Created, ObjectError, Objects};

/// The object that must not be created. It stays: without it another program's proof would fail.
const PROBE: &str = "probe/create-if-absent";

/// How often a store is asked that does not know.
const TRIES_MAX: u32 = 3;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoCreateIfAbsent {
    /// The store replaced an object that was there.
    #[error(
        "the object store replaces an object where it was told to create it only if absent, so two \
         servers could overwrite each other's commits: use a store that honours `If-None-Match: *` \
         on PUT (Amazon S3, MinIO, Ceph RGW, Cloudflare R2 and Google Cloud Storage do), or a local \
         folder"
    )]
    Ignored,
    /// The store could not be asked.
    #[error("cannot prove that the object store creates only if absent: {0}")]
    Failed(#[from] ObjectError),
}

/// Creates an object that exists: the store must say so.
pub fn prove_create_if_absent(objects: &dyn Objects) -> Result<(), NoCreateIfAbsent> {
    let probe = || Bytes::from_static(b"this store creates only if absent\n");
    if objects.head(PROBE)?.is_none() {
        objects.put(PROBE, probe())?;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match objects.create(PROBE, probe()) {
            Ok(Created::Exists) => return Ok(()),
            Ok(Created::New) => return Err(NoCreateIfAbsent::Ignored),
            // Say another server proves at the same moment.
            Err(ObjectError::Unsettled { .. }) if tries < TRIES_MAX => {}
            Err(error) => return Err(error.into()),
        }
    }
}

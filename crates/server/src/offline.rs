//! The object store, opened to be read beside a running server or without one.
//!
//! In: a data directory, or a configuration that names a bucket. Out: `Objects` that nothing is
//! written to, and what the catalog says of them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use suyuan_block::meta::{BlockId, BlockMeta};
use suyuan_catalog::State;
use suyuan_objects::{LocalObjects, Objects, S3Objects};
use suyuan_wal::{LocalDisk, Uuid};
use tokio::runtime::Runtime;

use crate::config::storage::ObjectsKind;
use crate::config::{self, Config, Loaded, Sources};
use crate::server::OBJECTS_FOLDER;

#[derive(Debug, Args)]
pub(crate) struct OfflineArgs {
    /// Data directory of the server; it may be running
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration of the server, which may name a bucket
    #[arg(long, value_name = "FILE", env = "SUYUAN_CONFIG")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Objects to look at.
pub(crate) struct Offline {
    pub(crate) objects: Arc<dyn Objects>,
    /// Does the network's work.
    _runtime: Option<Runtime>,
}

/// A block that the catalog names.
pub(crate) struct ListedBlock {
    pub(crate) id: Uuid,
    /// Or why the program cannot read what the catalog says of it.
    pub(crate) meta: Result<BlockMeta, String>,
}

impl OfflineArgs {
    pub(crate) fn load(&self) -> anyhow::Result<Loaded> {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let data_dir = self.data_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
        let flags = data_dir.map(|dir| ("--data-dir", dir)).into_iter().collect();
        Ok(config::load(&Sources { file: self.config.clone(), environment, flags })?)
    }

    pub(crate) fn open(&self) -> anyhow::Result<Offline> {
        open(&self.load()?.config)
    }
}

/// Opens the store of a configuration.
pub(crate) fn open(config: &Config) -> anyhow::Result<Offline> {
    match config.objects.kind {
        ObjectsKind::Local => {
            let folder = config.server.data_dir.join(OBJECTS_FOLDER);
            let disk = LocalDisk::existing(&folder).with_context(|| {
                format!(
                    "{} is no data directory of a server: cannot open {}; name one with \
                     --data-dir, or a bucket with --config",
                    config.server.data_dir.display(),
                    folder.display()
                )
            })?;
            Ok(Offline {
                objects: Arc::new(LocalObjects::for_reading(Arc::new(disk))),
                _runtime: None,
            })
        }
        ObjectsKind::S3 => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let options = config.objects.s3_options();
            let objects = S3Objects::new(&options, runtime.handle().clone())?;
            Ok(Offline { objects: Arc::new(objects), _runtime: Some(runtime) })
        }
    }
}

impl Offline {
    /// The blocks of every shard, oldest first.
    pub(crate) fn blocks(&self) -> anyhow::Result<Vec<ListedBlock>> {
        let mut blocks = Vec::new();
        for shard in suyuan_catalog::inspect(&*self.objects).context("cannot read the catalog")? {
            blocks.extend(blocks_of(&shard.state.context("cannot read the catalog")?));
        }
        blocks.sort_by_key(|block| block.id);
        Ok(blocks)
    }

    /// The block of this name, written as `block ls` does; its first digits are enough.
    pub(crate) fn block(&self, name: &str) -> anyhow::Result<ListedBlock> {
        let name = name.trim().to_ascii_lowercase();
        let blocks = self.blocks()?;
        let n_blocks = blocks.len();
        let named = |block: &ListedBlock| block.id.to_string().starts_with(&name);
        let mut found = blocks.into_iter().filter(named);
        match (found.next(), found.next()) {
            (Some(block), None) => Ok(block),
            (None, _) => anyhow::bail!(
                "the catalog names no block `{name}`: `suyuan block ls` lists the {n_blocks} there are"
            ),
            (Some(_), Some(_)) => {
                anyhow::bail!("several blocks begin with `{name}`: write more of it")
            }
        }
    }
}

pub(crate) fn blocks_of(state: &State) -> impl Iterator<Item = ListedBlock> {
    state.blocks.values().map(|block| ListedBlock { id: block.id, meta: decode(block) })
}

fn decode(block: &suyuan_catalog::Block) -> Result<BlockMeta, String> {
    let meta = BlockMeta::decode(&block.meta).map_err(|error| error.to_string())?;
    match BlockId::from_uuid(block.id) {
        Ok(id) if id == meta.id => Ok(meta),
        _ => Err(format!("what stands there is about block {}", meta.id)),
    }
}

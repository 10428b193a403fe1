//! The frozen prefix, computed once: values at the cut, kept for each sample in memory and in files.
//!
//! What lies before the cut (see [`crate::graph::cut`]) is a function of the sample alone, so its values are computed
//! when a sample comes by for the first time and handed into the walk from then on: over epochs, stages, evaluations
//! and runs. A sample that is found is neither read nor decoded; what the rest of the step reads of it (labels) is
//! kept beside the values. Sources draw no other view of a sample at each epoch, so one value a sample is all.
//!
//! **Keys.** A value's key (`key`) is a content hash of its own prefix: ops with their settings, wiring, modes
//! where they matter, the bits of what it reads, the device, and for each column that it reads what the source says
//! of it (`Source::fingerprint`). Within a key, samples are told apart by `Source::identity`. So whatever changes,
//! changes exactly the keys that depend on it, and what is found is never asked whether it is still right.
//!
//! **Files.** Below the cache's folder each key has a folder of segments (`segment`): files that are written under
//! another name, flushed, renamed, and never changed. So a kill at any moment leaves whole segments, and processes
//! that build at the same time write the same values twice at worst. Segments carry checksums, one for each sample:
//! what is damaged or cut short is computed again, and what cannot be written is held in memory as far as it fits. What
//! has not been used for long can be taken out (`stock`); the folder may be deleted whenever no run uses it.

mod error;
mod features;
mod gather;
mod key;
mod prefix;
mod segment;
mod shelf;
mod spec;
mod stock;

pub use error::CacheError;
pub(crate) use features::FULL;
pub use features::{Features, Session, Totals};
pub use gather::Gathered;
pub use key::Key;
pub use prefix::Prefix;
pub use shelf::{Budget, Shelf};
pub use spec::{CachePlace, CacheSpec};
pub use stock::{Stock, stock, take_out};

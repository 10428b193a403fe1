//! Architectures that the program around the engine brings along.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};

use super::{DataShape, ModelError, Resolved};

/// A registered architecture in a project file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredSpec {
    /// The name that it was registered under.
    pub name: String,
    /// Its settings.
    #[serde(default)]
    pub settings: BTreeMap<String, f64>,
}

/// Makes an architecture for some data.
type Maker = dyn Fn(&RegisteredSpec, &DataShape) -> Result<Resolved, ModelError> + Send + Sync;

static MAKERS: RwLock<BTreeMap<String, Arc<Maker>>> = RwLock::new(BTreeMap::new());

/// Makes an architecture known under a name, for projects with `model: Registered(name: …)`. Of two under one
/// name the later one counts.
pub fn register(
    name: &str,
    maker: impl Fn(&RegisteredSpec, &DataShape) -> Result<Resolved, ModelError> + Send + Sync + 'static,
) {
    MAKERS.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::new(maker));
}

pub(super) fn build(spec: &RegisteredSpec, data: &DataShape) -> Result<Resolved, ModelError> {
    let makers = MAKERS.read().unwrap_or_else(PoisonError::into_inner);
    let Some(maker) = makers.get(&spec.name).map(Arc::clone) else {
        let known = makers.keys().cloned().collect();
        return Err(ModelError::NotRegistered { name: spec.name.clone(), known });
    };
    drop(makers);
    maker(spec, data)
}

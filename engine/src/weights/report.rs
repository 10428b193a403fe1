//! What loading did, or would do.

use std::path::Path;

use serde::Serialize;

use super::WeightsError;
use crate::tensor::Shape;

/// What loading did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoadReport {
    /// Parameters taken as they are.
    pub copied: Vec<String>,
    /// Parameters made from a tensor of another shape.
    pub resized: Vec<Resize>,
    /// Parameters that the file does not have (they begin fresh).
    pub missing: Vec<Misfit>,
    /// Tensors of the file that nothing uses.
    pub unused: Vec<String>,
}

/// A parameter made from a tensor of another shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resize {
    /// The parameter.
    pub path: String,
    /// Shape in the file.
    pub from: Shape,
    /// Shape in the model.
    pub to: Shape,
}

/// A parameter that was not found, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// The parameter.
    pub path: String,
    /// The name looked for.
    pub wanted: String,
    /// Shape in the model.
    pub shape: Shape,
    /// Shape in the file, when the name is there but the shape does not fit.
    pub found: Option<Shape>,
    /// The nearest unused name of the file; looked for while there are not too many.
    pub near: Option<String>,
    /// Whether the file should have it: it is part of the base model and of no head, which may be new.
    pub expected: bool,
}

impl LoadReport {
    /// One line for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} copied, {} resized, {} new, {} unused",
            self.copied.len(),
            self.resized.len(),
            self.missing.len(),
            self.unused.len()
        )
    }

    /// Refuses to go on without the tensors that `needed` picks of the missing ones.
    ///
    /// # Errors
    /// When there is one.
    pub fn require(&self, folder: &Path, needed: impl Fn(&Misfit) -> bool) -> Result<(), WeightsError> {
        let mut lacking = self.missing.iter().filter(|misfit| needed(misfit));
        let Some(first) = lacking.next() else { return Ok(()) };
        Err(WeightsError::Lacking {
            count: 1 + lacking.count(),
            first: first.to_string(),
            folder: folder.to_path_buf(),
        })
    }
}

impl std::fmt::Display for Resize {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "`{}` {:?} from {:?}", self.path, self.to, self.from)
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "`{}` {:?}", self.wanted, self.shape)?;
        match (&self.found, &self.near) {
            (Some(found), _) => write!(to, ", which has the shape {found:?} in the file"),
            (None, Some(near)) => write!(to, ", which is not there (the nearest unused is `{near}`)"),
            (None, None) => to.write_str(", which is not there"),
        }
    }
}

//! The tests that every adapter kind gets without anyone writing them: each kind at each class of place of each
//! architecture. What may sit where stands in `tests/matrix.ron`.

mod architecture;
mod cell;
mod kind;
mod mixed;
mod place;
mod probe;

pub use architecture::{Subject, subjects};
pub use cell::{Found, examine};
pub use kind::{Subkind, kinds};
pub use place::{Class, classes, name_of};

/// A value as project files write it.
///
/// # Errors
/// When the text is no such value.
pub fn written<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ron::error::SpannedError> {
    use ron::extensions::Extensions;
    let extensions = Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME;
    ron::Options::default().with_default_extension(extensions).from_str(text)
}

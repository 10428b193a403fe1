//! Reading and writing project files: strict, with errors that point at line and field.

use std::path::Path;

use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Deserialize;

use super::{Project, ProjectError, VERSION, comments};
use crate::adapters::Placement;
use crate::graph::nearest;
use crate::weights::write_atomically;

const EXTENSIONS: Extensions = Extensions::IMPLICIT_SOME.union(Extensions::UNWRAP_VARIANT_NEWTYPES);

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(EXTENSIONS)
}

/// Reads a project file.
///
/// # Errors
/// When it cannot be read, is no project of a known version, or makes no sense.
pub fn load(path: &Path) -> Result<Project, ProjectError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| ProjectError::Io { error, path: path.to_path_buf() })?;
    let project = parse(&text, path)?;
    project.check()?;
    Ok(project)
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Parses a project's text; `path` is for messages.
///
/// # Errors
/// When it is no project of a known version.
pub fn parse(text: &str, path: &Path) -> Result<Project, ProjectError> {
    // The version is read first, so that a newer file is told apart from a broken one.
    if let Ok(head) = options().from_str::<Head>(text)
        && head.version > VERSION
    {
        return Err(ProjectError::Version { found: head.version, path: path.to_path_buf() });
    }
    let read: Result<Project, _> = options().from_str(text);
    // Whatever an earlier version could say, this one says in the same words.
    read.map(|project| Project { version: VERSION, ..project }).map_err(|error| {
        let start = error.span.start;
        ProjectError::Syntax {
            line: start.line,
            column: start.col,
            why: explain(&error.code),
            path: path.to_path_buf(),
        }
    })
}

/// The parser's complaint, with the nearest known name where a name is unknown.
fn explain(error: &ron::Error) -> String {
    let near = |found: &str, expected: &[&str]| {
        nearest(found, expected, 1).pop().map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
    };
    match error {
        ron::Error::NoSuchStructField { expected, found, outer } => {
            let place = outer.as_ref().map_or_else(String::new, |outer| format!(" in {outer}"));
            format!("unknown field `{found}`{place}{}", near(found, expected))
        }
        ron::Error::NoSuchEnumVariant { expected, found, outer } => {
            let place = outer.as_ref().map_or_else(String::new, |outer| format!(" for {outer}"));
            format!(
                "unknown kind `{found}`{place}{} Known are {}",
                near(found, expected),
                expected.join(", ")
            )
        }
        other => other.to_string(),
    }
}

/// The project as text.
///
/// # Errors
/// When it cannot be written as RON; no project that was read can cause this.
pub fn to_text(project: &Project) -> Result<String, ProjectError> {
    let config = PrettyConfig::new()
        .indentor("    ")
        .struct_names(false)
        .depth_limit(8)
        .compact_arrays(false)
        .extensions(EXTENSIONS);
    let text = options().to_string_pretty(project, config).map_err(|error| ProjectError::Setting {
        field: project.name.clone(),
        why: format!("cannot be written: {error}"),
    })?;
    Ok(text + "\n")
}

/// A placement as a line of a project file.
///
/// # Errors
/// When it cannot be written as RON; no placement that was read can cause this.
pub fn written(placement: &Placement) -> Result<String, ProjectError> {
    let config = PrettyConfig::new().struct_names(false).depth_limit(0).extensions(EXTENSIONS);
    let text = options().to_string_pretty(placement, config);
    let text = text.map_err(|error| ProjectError::Setting {
        field: placement.at.clone(),
        why: format!("cannot be written: {error}"),
    })?;
    // The extensions that it asks for are those of every project file.
    Ok(text.lines().filter(|line| !line.starts_with("#![")).collect::<Vec<_>>().join(" ").trim().to_owned())
}

/// Writes a project file, atomically. Comments of the file that is there are kept.
///
/// # Errors
/// When the file cannot be written.
pub fn save(project: &Project, path: &Path) -> Result<(), ProjectError> {
    let mut text = to_text(project)?;
    if let Ok(before) = std::fs::read_to_string(path) {
        text = comments::carry(&before, &text);
    }
    write_atomically(path, text.as_bytes())
        .map_err(|error| ProjectError::Io { error, path: path.to_path_buf() })
}

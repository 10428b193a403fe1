//! The sample projects of the first page, each built away from the window's thread so that its picture is that of the
//! real model.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use graft_engine::data::DataSpec;
use graft_engine::graph::RegionKind;
use graft_engine::project;

use crate::model::{Freeze, Model, build_once};
use crate::newest::Newest;
use crate::shown;
use crate::sources::Sources;

/// What a project's samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Clips.
    Video,
    /// Pictures.
    Image,
    /// Tokens.
    Text,
    /// Sounds.
    Audio,
    /// Arrays of numbers.
    Other,
}

impl Medium {
    /// What a filter can ask for.
    pub const ALL: [Self; 4] = [Self::Video, Self::Image, Self::Text, Self::Audio];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Video => "Video",
            Self::Image => "Image",
            Self::Text => "Text",
            Self::Audio => "Audio",
            Self::Other => "Other",
        }
    }

    const fn of(data: &DataSpec) -> Self {
        match data {
            DataSpec::MovingDigits(_) | DataSpec::FrameFolder(_) => Self::Video,
            DataSpec::Digits(_) | DataSpec::ImageFolder(_) | DataSpec::Shapes(_) => Self::Image,
            DataSpec::Sounds(_) | DataSpec::AudioFolder(_) => Self::Audio,
            DataSpec::Sentences(_) => Self::Text,
            DataSpec::Tensors(_) => Self::Other,
        }
    }
}

/// A part of a model as its miniature shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Repeated blocks inside; 0 for a single part.
    pub blocks: usize,
    /// What trains in it.
    pub freeze: Freeze,
    /// Whether a gradient passes.
    pub tracked: bool,
    /// Letters of the adapter kinds in it.
    pub kinds: Vec<char>,
}

/// What is known of a sample project once its model is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// One line on the model.
    pub model: String,
    /// Weights in all, and those that train.
    pub weights: u64,
    /// Those that train in the last stage.
    pub trained: u64,
    /// Letter of each adapter kind and its sites.
    pub adapters: Vec<(char, usize)>,
    /// The model from input to output.
    pub pieces: Vec<Piece>,
}

/// A sample project.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its file.
    pub path: PathBuf,
    /// Its name.
    pub name: String,
    /// What it is about.
    pub description: String,
    /// What its samples are.
    pub medium: Medium,
    /// The rest, or why it cannot be opened here; none while it is being built.
    pub details: Option<Result<Details, String>>,
}

/// The file of the sample that a newcomer runs first: small, quick on any CPU.
const FIRST: &str = "vivit_frozen_spatial";

fn is_first(path: &Path) -> bool {
    path.file_stem().is_some_and(|name| name == FIRST)
}

impl Sample {
    /// Whether a newcomer runs it first.
    #[must_use]
    pub fn is_first(&self) -> bool {
        is_first(&self.path)
    }
}

/// The samples as far as they are known.
#[derive(Debug)]
pub struct Samples {
    thread: Newest<PathBuf, Vec<Sample>>,
    list: Vec<Sample>,
    /// Files whose models are still to be built.
    waiting: Vec<PathBuf>,
    asked: bool,
}

impl Samples {
    /// Lists the projects of a folder; their models are built one after the other when [`Self::look`] is called.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        folder: Option<&Path>,
        sources: Sources,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let work = move |path: PathBuf| vec![sample(&path, Some(&sources))];
        let thread = Newest::start("graft-samples", work, wake)?;
        let list: Vec<Sample> = folder.map(listed).unwrap_or_default();
        let waiting = list.iter().rev().map(|sample| sample.path.clone()).collect();
        Ok(Self { thread, list, waiting, asked: false })
    }

    /// Takes answers in and asks for what is missing.
    pub fn look(&mut self) {
        while let Some(answer) = self.thread.poll() {
            self.asked = false;
            for sample in answer {
                if let Some(own) = self.list.iter_mut().find(|own| own.path == sample.path) {
                    *own = sample;
                }
            }
        }
        if !self.asked
            && let Some(path) = self.waiting.pop()
        {
            self.asked = self.thread.ask(path);
        }
    }

    /// All of them: what a newcomer runs first, then by name of file.
    #[must_use]
    pub fn list(&self) -> &[Sample] {
        &self.list
    }

    /// Whether all models are built.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.list.iter().all(|sample| sample.details.is_some())
    }
}

fn listed(folder: &Path) -> Vec<Sample> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ron"));
    paths.sort_by_key(|path| (!is_first(path), path.clone()));
    paths.iter().map(|path| sample(path, None)).collect()
}

/// Reads a project, and builds its model where there are sources to build it with.
fn sample(path: &Path, sources: Option<&Sources>) -> Sample {
    let file = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match project::load(path) {
        Ok(project) => {
            let project = Arc::new(project);
            let details = sources.map(|sources| {
                let base = path.parent().unwrap_or(Path::new(".")).to_path_buf();
                let stage = shown::main_stage(&project);
                build_once(sources, &project, base, stage).map(|model| details(&model, &project))
            });
            Sample {
                path: path.to_path_buf(),
                name: project.name.clone(),
                description: project.description.clone(),
                medium: Medium::of(&project.data),
                details,
            }
        }
        Err(error) => Sample {
            path: path.to_path_buf(),
            name: file,
            description: String::new(),
            medium: Medium::Other,
            details: Some(Err(error.to_string())),
        },
    }
}

fn details(model: &Model, project: &project::Project) -> Details {
    let letter =
        |index: &usize| project.adapters.get(*index).map_or('?', |placement| placement.kind.kind().letter());
    let mut adapters: Vec<(char, usize)> = Vec::new();
    for (index, covered) in model.coverage.iter().enumerate() {
        let Ok(covered) = covered else { continue };
        let kind = letter(&index);
        match adapters.iter_mut().find(|(own, _)| *own == kind) {
            Some((_, sites)) => *sites += covered.matched.len(),
            None => adapters.push((kind, covered.matched.len())),
        }
    }
    Details {
        model: model.title.clone(),
        weights: model.weights,
        trained: model.trained,
        adapters,
        pieces: pieces(model, &letter),
    }
}

/// The parts right below the whole model, in the order of computation.
fn pieces(model: &Model, letter: &impl Fn(&usize) -> char) -> Vec<Piece> {
    let Some(root) = model.parts.iter().position(|part| part.path == "model") else { return Vec::new() };
    let mut pieces = Vec::new();
    for &child in &model.parts[root].children {
        let part = &model.parts[child];
        let own = match part.kind {
            RegionKind::Adapter(index) => vec![letter(&index)],
            _ => part.adapters.keys().map(letter).collect(),
        };
        pieces.push(Piece {
            blocks: blocks_below(model, child),
            freeze: part.freeze,
            tracked: part.output.is_some_and(|node| model.is_tracked(node)),
            kinds: own,
        });
    }
    pieces
}

/// Repeated blocks below a part: children, or their children, that are numbered.
fn blocks_below(model: &Model, part: usize) -> usize {
    let numbered = |child: &&usize| {
        let last = model.parts[**child].path.rsplit('.').next().unwrap_or_default();
        !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())
    };
    let children = &model.parts[part].children;
    let own = children.iter().filter(numbered).count();
    if own > 0 {
        return own;
    }
    children.iter().map(|&child| blocks_below(model, child)).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_read_at_once_and_built_later_and_a_broken_one_says_why() {
        let folder = std::env::temp_dir().join(format!("graft-samples-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let text = "(version: 1, name: \"tiny\", model: Vit(width: 8, blocks: 3, heads: 1, patch: 8), \
                    data: Digits(folder: \"none\"), stages: [Train()])";
        std::fs::write(folder.join("a.ron"), text).unwrap();
        std::fs::write(folder.join("b.ron"), "(").unwrap();
        let mut samples = Samples::start(Some(&folder), Sources::default(), || {}).unwrap();
        assert_eq!(samples.list().len(), 2);
        assert_eq!((samples.list()[0].name.as_str(), samples.list()[0].medium), ("tiny", Medium::Image));
        assert!(matches!(&samples.list()[1].details, Some(Err(error)) if error.contains("b.ron")));
        let begin = std::time::Instant::now();
        while !samples.is_settled() && begin.elapsed().as_secs() < 20 {
            samples.look();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let Some(Err(error)) = &samples.list()[0].details else { panic!("its data is not there") };
        assert!(error.contains("none"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}

//! A new project around a model's folder, and what kind of data lies in a folder.

use std::path::{Path, PathBuf};

use graft_engine::data::{AudioFolderSpec, DataSpec, FrameFolderSpec, ImageFolderSpec, SentencesSpec};
use graft_engine::project::{self, Project};

/// A project that trains the head of the model in a folder, and where it would be saved: beside that folder, under its
/// name. The data are still to be chosen, but for models of text, which begin with synthesised sentences.
///
/// # Errors
/// When there is no readable `config.json`.
pub fn around_model(folder: &Path) -> Result<(Project, PathBuf), String> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let config = folder.join("config.json");
    let text = std::fs::read_to_string(&config).map_err(|error| {
        format!("a model's folder holds a config.json; it could not be read ({error}): {}", config.display())
    })?;
    let name =
        folder.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned());
    let parent = folder.parent().unwrap_or(&folder);
    let path = unused(parent, &name);
    let quoted = |text: &str| ron::to_string(text).unwrap_or_default();
    let start = format!(
        "(version: 2, name: {}, model: Folder({}), data: Sentences(), stages: [Train(name: \"Head\", train: [\"model.head\"])])",
        quoted(&name),
        quoted(&folder.to_string_lossy())
    );
    let mut project = project::parse(&start, &path).map_err(|error| error.to_string())?;
    project.data = data_for(&text);
    Ok((project, path))
}

/// `name.ron` in a folder, or `name-2.ron` and so on where that is taken.
fn unused(folder: &Path, name: &str) -> PathBuf {
    let first = folder.join(format!("{name}.ron"));
    let others = (2..).map(|number| folder.join(format!("{name}-{number}.ron")));
    std::iter::once(first.clone()).chain(others).find(|path| !path.exists()).unwrap_or(first)
}

/// The kind of data that a model of this `config.json` reads; whole numbers are found without reading all of it.
fn data_for(config: &str) -> DataSpec {
    let value = |name: &str| -> Option<&str> {
        let after = config.split_once(&format!("\"{name}\""))?.1.split_once(':')?.1.trim_start();
        Some(after.trim_start_matches('"').split(['"', ',', '}', '\n', ']']).next()?.trim())
    };
    let number = |name: &str| value(name).and_then(|text| text.parse::<usize>().ok());
    let size = number("image_size").unwrap_or(224);
    match value("model_type").unwrap_or_default() {
        "vivit" | "vivit_joint" => {
            let frames = number("num_frames").unwrap_or(16);
            DataSpec::FrameFolder(FrameFolderSpec { size, frames, ..FrameFolderSpec::default() })
        }
        "audio-spectrogram-transformer" => DataSpec::AudioFolder(AudioFolderSpec::default()),
        "bert" | "t5" => DataSpec::Sentences(SentencesSpec::default()),
        _ => DataSpec::ImageFolder(ImageFolderSpec { size, ..ImageFolderSpec::default() }),
    }
}

/// The data in a folder with a sub-folder for each class: sounds, clips (folders of frames, or GIF files) or pictures,
/// by what the first classes hold. Sizes stay as they are in `before` where that is of the same kind.
///
/// # Errors
/// When it has no such sub-folders, or they are empty.
pub fn data_in(folder: &Path, before: &DataSpec) -> Result<DataSpec, String> {
    let read = |folder: &Path| -> Result<Vec<PathBuf>, String> {
        let entries = std::fs::read_dir(folder).map_err(|error| format!("{error}: {}", folder.display()))?;
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        Ok(paths)
    };
    let classes: Vec<PathBuf> = read(folder)?.into_iter().filter(|path| path.is_dir()).collect();
    let Some(first) = classes.iter().find_map(|class| read(class).ok()?.into_iter().next()) else {
        return Err(format!("expected a sub-folder with samples for each class: {}", folder.display()));
    };
    let extension = first.extension().map(|text| text.to_string_lossy().to_lowercase()).unwrap_or_default();
    let folder = folder.to_path_buf();
    Ok(match (extension.as_str(), before) {
        ("wav", DataSpec::AudioFolder(spec)) => {
            DataSpec::AudioFolder(AudioFolderSpec { folder, ..spec.clone() })
        }
        ("wav", _) => DataSpec::AudioFolder(AudioFolderSpec { folder, ..AudioFolderSpec::default() }),
        (kind, DataSpec::FrameFolder(spec)) if first.is_dir() || kind == "gif" => {
            DataSpec::FrameFolder(FrameFolderSpec { folder, ..spec.clone() })
        }
        (kind, _) if first.is_dir() || kind == "gif" => {
            DataSpec::FrameFolder(FrameFolderSpec { folder, ..FrameFolderSpec::default() })
        }
        (_, DataSpec::ImageFolder(spec)) => DataSpec::ImageFolder(ImageFolderSpec { folder, ..spec.clone() }),
        _ => DataSpec::ImageFolder(ImageFolderSpec { folder, ..ImageFolderSpec::default() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_folder_becomes_a_project_and_a_folder_of_classes_its_data() {
        let folder = std::env::temp_dir().join(format!("graft-fresh-{}", std::process::id()));
        let model = folder.join("small");
        std::fs::create_dir_all(&model).unwrap();
        assert!(around_model(&model).unwrap_err().contains("config.json"));
        std::fs::write(model.join("config.json"), "{\"model_type\": \"vit\", \"image_size\": 96}").unwrap();
        let (project, path) = around_model(&model).unwrap();
        assert_eq!(path, std::path::absolute(folder.join("small.ron")).unwrap());
        let DataSpec::ImageFolder(spec) = &project.data else { panic!("{:?}", project.data) };
        assert_eq!(spec.size, 96);

        let data = folder.join("data");
        std::fs::create_dir_all(data.join("cat")).unwrap();
        assert!(data_in(&data, &project.data).unwrap_err().contains("sub-folder"));
        std::fs::write(data.join("cat").join("1.png"), "").unwrap();
        let DataSpec::ImageFolder(spec) = data_in(&data, &project.data).unwrap() else { panic!("pictures") };
        assert_eq!((spec.size, spec.folder), (96, data.clone()));
        std::fs::create_dir_all(data.join("ant").join("clip")).unwrap();
        assert!(matches!(data_in(&data, &project.data), Ok(DataSpec::FrameFolder(_))));
        std::fs::write(data.join("ant").join("a.wav"), "").unwrap();
        assert!(matches!(data_in(&data, &project.data), Ok(DataSpec::AudioFolder(_))));
        std::fs::remove_dir_all(folder).unwrap();
    }
}

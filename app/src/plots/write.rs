//! A plot as a file in its run's folder.

use egui::{Color32, Rect, Ui};

use super::PHASES;
use super::export;
use super::shown::{Kind, Shown};
use crate::session::{EvalPoint, StepPoint};
use crate::theme::Theme;

/// What a plot can be written as.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Csv,
    Svg,
    Png,
}

impl Form {
    pub(super) const ALL: [Self; 3] = [Self::Csv, Self::Svg, Self::Png];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Csv => "Numbers as CSV",
            Self::Svg => "Curves as SVG",
            Self::Png => "Picture as PNG",
        }
    }
}

/// Writes a plot into the run's folder; a picture follows with the next frame.
pub(super) fn write(
    ui: &Ui,
    shown: Shown<'_>,
    form: Form,
    rect: Rect,
) -> std::io::Result<std::path::PathBuf> {
    let title = shown.kind.title();
    let folder = &shown.series.folder;
    let curves = || whole(Theme::of(ui), shown);
    match form {
        Form::Csv => {
            let path = export::place(folder, title, "csv")?;
            std::fs::write(&path, export::csv(&curves()))?;
            Ok(path)
        }
        Form::Svg => {
            let path = export::place(folder, title, "svg")?;
            // As many points as a page can show.
            std::fs::write(&path, export::svg(title, &shown.kind.remark(shown.series), &curves()))?;
            Ok(path)
        }
        Form::Png => {
            let path = export::place(folder, title, "png")?;
            let (scale, file) = (ui.ctx().pixels_per_point(), path.clone());
            let written = move |picture: std::sync::Arc<egui::ColorImage>| {
                if let Err(error) = export::png(&picture, rect, scale, &file) {
                    tracing::warn!("the picture was not written: {error}: {}", file.display());
                }
            };
            ui.ctx()
                .send_viewport_cmd(egui::ViewportCommand::Screenshot(egui::ScreenshotCallback::new(written)));
            Ok(path)
        }
    }
}

/// All points of a plot's curves.
pub(super) fn whole(theme: &Theme, shown: Shown<'_>) -> Vec<export::Curve> {
    let Shown { kind, series, .. } = shown;
    let steps = |name: &str, color: Color32, value: &dyn Fn(&StepPoint) -> f64| export::Curve {
        name: name.to_owned(),
        color,
        points: series.steps.iter().map(|point| [point.x, value(point)]).collect(),
    };
    let evals = |name: &str, color: Color32, test: bool, value: fn(&EvalPoint) -> f64| export::Curve {
        name: name.to_owned(),
        color,
        points: series
            .evals
            .iter()
            .filter(|point| point.test == test)
            .map(|point| [point.x, value(point)])
            .collect(),
    };
    match kind {
        Kind::Loss => vec![
            steps("step", theme.label, &|point| point.loss),
            steps("train", theme.text, &|point| point.smooth),
            evals("validation", theme.brand, false, |point| point.loss),
            evals("test", theme.warning, true, |point| point.loss),
        ],
        Kind::Accuracy => vec![
            evals("validation", theme.brand, false, |point| point.score),
            evals("test", theme.warning, true, |point| point.score),
        ],
        Kind::Time => (0..PHASES.len())
            .map(|i| steps(PHASES[i], theme.phases[i], &move |point| point.phases[i]))
            .collect(),
        Kind::Memory => vec![
            steps("live", theme.brand, &|point| point.live),
            steps("stage peak", theme.body, &|point| point.peak),
        ],
        Kind::Rate => vec![steps("rate", theme.brand, &|point| point.rate)],
        Kind::Norm => vec![steps("norm", theme.body, &|point| point.norm)],
    }
}

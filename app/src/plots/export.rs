//! A plot as a file: its numbers as CSV, its curves as SVG, itself as PNG. They go into the run's folder.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use egui::{Color32, ColorImage, Rect};

/// One curve of a plot.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) color: Color32,
    pub(super) points: Vec<[f64; 2]>,
}

/// Where a plot's file goes; the folder is made.
pub(super) fn place(run: &str, title: &str, ending: &str) -> std::io::Result<PathBuf> {
    if run.is_empty() {
        return Err(std::io::Error::other("there is no run whose folder it could go into"));
    }
    let folder = Path::new(run).join("plots");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.join(format!("{}.{ending}", title.to_lowercase().replace(' ', "_"))))
}

/// All points of all curves: `curve,step,value`.
pub(super) fn csv(curves: &[Curve]) -> String {
    let mut text = String::from("curve,step,value\n");
    for curve in curves {
        for [x, y] in &curve.points {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{},{x},{y}", curve.name);
        }
    }
    text
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, top, right and bottom margins.
const MARGINS: [f64; 4] = [64.0, 48.0, 20.0, 40.0];

/// The curves with axes and a legend.
pub(super) fn svg(title: &str, remark: &str, curves: &[Curve]) -> String {
    let all = curves.iter().flat_map(|curve| &curve.points).filter(|p| p[0].is_finite() && p[1].is_finite());
    let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for [x, y] in all {
        bounds = [bounds[0].min(*x), bounds[1].min(*y), bounds[2].max(*x), bounds[3].max(*y)];
    }
    if bounds[0] > bounds[2] {
        bounds = [0.0, 0.0, 1.0, 1.0];
    }
    let [left, top, right, bottom] = MARGINS;
    let span = |low: f64, high: f64| if high > low { high - low } else { 1.0 };
    let (wide, high) = (span(bounds[0], bounds[2]), span(bounds[1], bounds[3]));
    let px = |x: f64| left + (x - bounds[0]) / wide * (WIDTH - left - right);
    let py = |y: f64| HEIGHT - bottom - (y - bounds[1]) / high * (HEIGHT - top - bottom);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"Inter, sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{left}\" y=\"20\" font-size=\"13\" font-weight=\"600\">{} <tspan font-weight=\"400\" fill=\"#5f6979\">{}</tspan></text>\n",
        escaped(title),
        escaped(remark)
    );
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let (x, y) = (bounds[0] + share * wide, bounds[1] + share * high);
        let _infallible = writeln!(
            text,
            "<path d=\"M{left} {0:.1}H{1}\" stroke=\"#e1e5eb\"/><text x=\"{2}\" y=\"{3:.1}\" text-anchor=\"end\">{4}</text>\
             <text x=\"{5:.1}\" y=\"{6}\" text-anchor=\"middle\">{7}</text>",
            py(y),
            WIDTH - right,
            left - 6.0,
            py(y) + 4.0,
            super::axis(y),
            px(x),
            HEIGHT - bottom + 16.0,
            super::axis(x)
        );
    }
    let mut legend = left;
    for curve in curves {
        // What is light on a dark ground would be lost on white.
        let color = ink(curve.color);
        let points: Vec<String> = curve
            .points
            .iter()
            .filter(|point| point.iter().all(|value| value.is_finite()))
            .map(|[x, y]| format!("{:.1},{:.1}", px(*x), py(*y)))
            .collect();
        let _infallible = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.5\" points=\"{}\"/>\
             <rect x=\"{legend}\" y=\"30\" width=\"10\" height=\"3\" fill=\"{color}\"/><text x=\"{}\" y=\"35\">{}</text>",
            points.join(" "),
            legend + 14.0,
            escaped(&curve.name)
        );
        #[expect(clippy::cast_precision_loss, reason = "a word")]
        let width = curve.name.len() as f64 * 6.5 + 30.0;
        legend += width;
    }
    text += "</svg>\n";
    text
}

fn ink(color: Color32) -> String {
    let [r, g, b, _] = color.to_array();
    let light = u32::from(r) * 3 + u32::from(g) * 6 + u32::from(b) > 1900;
    let dim = |value: u8| if light { value / 4 } else { value };
    format!("#{:02x}{:02x}{:02x}", dim(r), dim(g), dim(b))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writes the part of the window's picture that shows the plot.
pub(super) fn png(picture: &Arc<ColorImage>, rect: Rect, scale: f32, path: &Path) -> Result<(), String> {
    let part = picture.region(&rect, Some(scale));
    let size = part.size.map(|extent| u32::try_from(extent).unwrap_or(0));
    let bytes: Vec<u8> = part.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let picture = image::RgbImage::from_raw(size[0], size[1], bytes).ok_or("the picture is incomplete")?;
    picture.save(path).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Vec<Curve> {
        let points = vec![[1.0, 2.0], [2.0, f64::NAN], [3.0, 1.0]];
        vec![Curve { name: "a<b".to_owned(), color: Color32::WHITE, points }]
    }

    #[test]
    fn numbers_and_curves() {
        assert_eq!(csv(&curves()), "curve,step,value\na<b,1,2\na<b,2,NaN\na<b,3,1\n");
        let text = svg("Loss", "cross-entropy", &curves());
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert!(text.contains("a&lt;b") && !text.contains("NaN"), "{text}");
        assert!(text.contains("points=\"64.0,48.0 700.0,380.0\""), "{text}");
        assert!(text.contains("#3f3f3f"), "white would not be seen");
        assert!(svg("Loss", "", &[]).contains("</svg>"));
    }

    #[test]
    fn a_picture_is_cut_to_its_plot() {
        let mut picture = ColorImage::filled([20, 10], Color32::BLACK);
        picture.pixels[3 * 20 + 5] = Color32::RED;
        let path = std::env::temp_dir().join(format!("graft-plot-{}.png", std::process::id()));
        let rect = Rect::from_min_size(egui::pos2(5.0, 3.0), egui::vec2(4.0, 2.0));
        png(&Arc::new(picture), rect, 1.0, &path).unwrap();
        let read = image::open(&path).unwrap().to_rgb8();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.dimensions(), (4, 2));
        assert_eq!(read.get_pixel(0, 0).0, [255, 0, 0]);
    }
}

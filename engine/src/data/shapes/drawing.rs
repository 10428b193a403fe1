//! Where shapes lie, which pixels they cover, and what a picture of them looks like.

use std::f32::consts::TAU;

use crate::tensor::Draws;

/// Colours in the order of their words: red, green, blue, yellow.
pub(super) const COLOURS: [[f32; 3]; 4] =
    [[0.9, 0.2, 0.2], [0.2, 0.8, 0.3], [0.3, 0.4, 0.95], [0.9, 0.8, 0.2]];

/// What a shape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Square,
    Ring,
    Cross,
}

impl Form {
    /// In the order of their words.
    pub(super) const ALL: [Self; 3] = [Self::Square, Self::Ring, Self::Cross];
}

/// A shape in a picture; lengths in pixels.
#[derive(Clone, Debug)]
pub(super) struct Object {
    colour: usize,
    form: Form,
    centre: [f32; 2],
    /// Of the circle around it.
    radius: f32,
    angle: f32,
}

/// Radii as shares of a picture's side.
const SMALLEST: f32 = 0.15;
const LARGEST: f32 = 0.2;
/// Places that are tried for each shape before all begin anew.
const TRIES: usize = 64;

impl Object {
    /// Shapes of these colours and forms, none of which overlaps another or the border. Of the largest three, one always
    /// finds a place within a few beginnings.
    #[expect(clippy::cast_precision_loss, reason = "a picture's side is small")]
    pub(super) fn place(size: usize, named: &[(usize, usize)], draws: &mut Draws) -> Vec<Self> {
        let span = size as f32;
        loop {
            let mut placed: Vec<Self> = Vec::with_capacity(named.len());
            for &(colour, form) in named {
                let radius = span * (SMALLEST + (LARGEST - SMALLEST) * draws.uniform());
                let angle = TAU * draws.uniform();
                let room = span - 2.0 * radius;
                for _ in 0..TRIES {
                    let centre = [0, 1].map(|_| radius + room * draws.uniform());
                    let far = |other: &Self| {
                        let [x, y] = [0, 1].map(|axis| centre[axis] - other.centre[axis]);
                        x.hypot(y) > radius + other.radius + 1.0
                    };
                    if placed.iter().all(far) {
                        placed.push(Self { colour, form: Form::ALL[form], centre, radius, angle });
                        break;
                    }
                }
            }
            if placed.len() == named.len() {
                return placed;
            }
        }
    }

    /// Whether it covers a pixel's centre.
    #[expect(clippy::cast_precision_loss, reason = "a picture's side is small")]
    fn covers(&self, row: usize, column: usize) -> bool {
        let (x, y) = (column as f32 + 0.5 - self.centre[0], row as f32 + 0.5 - self.centre[1]);
        // How far out in the direction of an edge.
        let out = |share: f32| {
            let (sin, cos) = (self.angle + TAU * share).sin_cos();
            x * cos + y * sin
        };
        match self.form {
            Form::Ring => (0.45 * self.radius..=self.radius).contains(&x.hypot(y)),
            Form::Square => {
                let half = self.radius * std::f32::consts::FRAC_1_SQRT_2;
                out(0.0).abs() <= half && out(0.25).abs() <= half
            }
            Form::Cross => {
                let (along, across) = (out(0.0).abs(), out(0.25).abs());
                along.min(across) <= 0.25 * self.radius && along.max(across) <= 0.95 * self.radius
            }
        }
    }
}

/// 1 where a shape is, 0 elsewhere, `[size, size]`.
pub(super) fn mask(object: &Object, size: usize) -> Vec<f32> {
    (0..size * size).map(|pixel| f32::from(u8::from(object.covers(pixel / size, pixel % size)))).collect()
}

/// Values in −1…1 `[3, size, size]`, beyond that where speckle is bright.
#[expect(clippy::cast_precision_loss, reason = "a picture's side is small")]
pub(super) fn picture(objects: &[Object], size: usize, dull: bool, draws: &mut Draws) -> Vec<f32> {
    let span = size as f32;
    let ground = if dull { 0.35 + 0.2 * draws.uniform() } else { 0.05 + 0.1 * draws.uniform() };
    // Colours stand out by this share of what they are in bright pictures.
    let contrast = if dull { 0.3 + 0.2 * draws.uniform() } else { 1.0 };
    let light = draws.uniform() * TAU;
    let (sin, cos) = light.sin_cos();
    let pixels = size * size;
    let mut picture = vec![0.0; 3 * pixels];
    for pixel in 0..pixels {
        let (row, column) = (pixel / size, pixel % size);
        let colour =
            objects.iter().find(|object| object.covers(row, column)).map(|object| COLOURS[object.colour]);
        let (x, y) = (column as f32 / span - 0.5, row as f32 / span - 0.5);
        let lit = if dull { 1.0 + 0.8 * (cos * x + sin * y) } else { 1.0 };
        // One speckle for all channels, as of a wave.
        let speckle = if dull { 1.0 + 0.3 * draws.normal() } else { 1.0 };
        for channel in 0..3 {
            let value = colour.map_or(ground, |colour| ground + contrast * (colour[channel] - ground));
            let noise = 0.03 * draws.normal();
            picture[channel * pixels + pixel] = 2.0 * (value * lit * speckle + noise) - 1.0;
        }
    }
    picture
}

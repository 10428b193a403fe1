//! Settings of a kind, as editors show and change them.

use super::AdapterError;

/// A setting of a kind, for editors.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Field name in project files.
    pub name: &'static str,
    /// What to call it.
    pub label: &'static str,
    /// Its value; of a choice, the number of the chosen one.
    pub value: f64,
    /// Smallest and largest value.
    pub range: (f64, f64),
    /// Whole numbers only, moved in powers of two.
    pub whole: bool,
    /// What there is to choose from, if it is a choice.
    pub choices: &'static [&'static str],
}

/// Widths and ranks that editors offer.
const WIDTHS: (f64, f64) = (1.0, 4096.0);
/// Scales that editors offer.
pub(super) const SCALES: (f64, f64) = (-1000.0, 1000.0);
/// Probabilities of dropout.
pub(super) const DROPOUTS: (f64, f64) = (0.0, 0.99);

/// Bounds of a reduction factor; 0 is none.
const REDUCTIONS: (f64, f64) = (0.0, 1024.0);

/// An inner width: a number, or a share of the features of the value that it stands at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Inner {
    /// The width, where there is no reduction.
    pub width: usize,
    /// Features divided by this give the width, where it is not 0.
    pub reduction: f64,
}

impl Inner {
    /// The width at a value of so many features.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "widths are small"
    )]
    pub(super) fn at(self, features: usize) -> usize {
        if self.reduction > 0.0 {
            ((features as f64 / self.reduction).round() as usize).max(1)
        } else {
            self.width
        }
    }

    /// Both settings for editors, the width by a name of the kind's own.
    pub(super) fn settings(self, label: &'static str) -> [Setting; 2] {
        let reduction = Setting::number("reduction", "Reduction", self.reduction, REDUCTIONS);
        [Setting::width("width", label, self.width), reduction]
    }

    /// Takes a checked value, if the setting is one of the two. A width of its own ends a reduction.
    pub(super) fn assign(width: &mut usize, reduction: &mut f64, name: &str, value: f64) -> bool {
        match name {
            "width" => (*width, *reduction) = (whole(value), 0.0),
            "reduction" => *reduction = value,
            _ => return false,
        }
        true
    }
}

/// A closed set of settings that have names.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// All of them.
    const ALL: &'static [Self];
    /// Their names for people, in the same order.
    const NAMES: &'static [&'static str];

    /// The one of this number, the first if there is none.
    fn numbered(value: f64) -> Self {
        Self::ALL.get(whole(value)).copied().unwrap_or(Self::ALL[0])
    }
}

/// Whether a setting has its type's default value, and need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Whether a factor is one, and need not be written.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::float_cmp,
    reason = "serde passes a reference to exactly the default"
)]
pub(super) fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// Switches, as choices.
const SWITCH: &[&str] = &["off", "on"];

#[expect(clippy::cast_precision_loss, reason = "widths and choices are small")]
impl Setting {
    /// A width, a rank or a number of something.
    pub(super) fn width(name: &'static str, label: &'static str, value: usize) -> Self {
        Self { name, label, value: value as f64, range: WIDTHS, whole: true, choices: &[] }
    }

    /// A number.
    pub(super) const fn number(
        name: &'static str,
        label: &'static str,
        value: f64,
        range: (f64, f64),
    ) -> Self {
        Self { name, label, value, range, whole: false, choices: &[] }
    }

    /// One of several.
    pub(super) fn choice<C: Choice>(name: &'static str, label: &'static str, value: C) -> Self {
        let at = C::ALL.iter().position(|choice| *choice == value).unwrap_or(0);
        let range = (0.0, (C::ALL.len() - 1) as f64);
        Self { name, label, value: at as f64, range, whole: true, choices: C::NAMES }
    }

    /// On or off.
    pub(super) fn switch(name: &'static str, label: &'static str, value: bool) -> Self {
        let value = f64::from(u8::from(value));
        Self { name, label, value, range: (0.0, 1.0), whole: true, choices: SWITCH }
    }

    /// The name of what is chosen, if it is a choice.
    #[must_use]
    pub fn chosen(&self) -> Option<&'static str> {
        self.choices.get(whole(self.value)).copied()
    }

    pub(super) fn check(&self, kind: &'static str, value: f64) -> Result<(), AdapterError> {
        let (least, most) = self.range;
        // The comparison is false for what is no number.
        if value >= least && value <= most && !(self.whole && value.fract() != 0.0) {
            return Ok(());
        }
        let what = if self.whole { "a whole number" } else { "a number" };
        Err(AdapterError::Setting {
            kind,
            setting: self.name.to_owned(),
            value,
            wanted: format!("{what} from {least} to {most}"),
        })
    }
}

/// A setting's checked value as a width or rank.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be within the range")]
pub(super) const fn whole(value: f64) -> usize {
    value as usize
}

/// A checked switch.
pub(super) fn on(value: f64) -> bool {
    value > 0.5
}

//! Colours, type and the egui style made from them. Colours stand in `assets/themes` and nowhere else.

use std::sync::{Arc, LazyLock};

use egui::{Color32, FontData, FontDefinitions, FontFamily, FontId, Stroke, TextStyle, Visuals};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::kinds::{self, Outline};

/// The colours of one theme.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theme {
    /// Whether it is the dark one.
    pub dark: bool,
    /// Canvas and plot wells.
    #[serde(deserialize_with = "color")]
    pub well: Color32,
    /// Panels and bars.
    #[serde(deserialize_with = "color")]
    pub panel: Color32,
    /// Cards.
    #[serde(deserialize_with = "color")]
    pub card: Color32,
    /// Inner nodes, buttons, hovered rows.
    #[serde(deserialize_with = "color")]
    pub raised: Color32,
    /// Selected rows and the active segment.
    #[serde(deserialize_with = "color")]
    pub active: Color32,
    /// Text and number fields.
    #[serde(deserialize_with = "color")]
    pub field: Color32,
    /// Menus and hover cards.
    #[serde(deserialize_with = "color")]
    pub popup: Color32,
    /// Rules between panels and the plots' grid.
    #[serde(deserialize_with = "color")]
    pub line: Color32,
    /// Outlines of cards and fields.
    #[serde(deserialize_with = "color")]
    pub outline: Color32,
    /// Edges that carry no gradient.
    #[serde(deserialize_with = "color")]
    pub edge: Color32,
    /// Titles and values.
    #[serde(deserialize_with = "color")]
    pub text: Color32,
    /// Body text.
    #[serde(deserialize_with = "color")]
    pub body: Color32,
    /// Labels, units and axes.
    #[serde(deserialize_with = "color")]
    pub label: Color32,
    /// Placeholders and decoration.
    #[serde(deserialize_with = "color")]
    pub faint: Color32,
    /// Selection ring and row marker.
    #[serde(deserialize_with = "color")]
    pub selection: Color32,
    /// Letter on a filled badge.
    #[serde(deserialize_with = "color")]
    pub ink: Color32,
    /// Train, the active tab, progress, measured curves.
    #[serde(deserialize_with = "color")]
    pub brand: Color32,
    /// Text on the brand colour.
    #[serde(deserialize_with = "color")]
    pub brand_ink: Color32,
    /// A faint ground of the brand colour.
    #[serde(deserialize_with = "color")]
    pub brand_tint: Color32,
    /// Frozen parts.
    #[serde(deserialize_with = "color")]
    pub frozen: Color32,
    /// Ground of the frozen side.
    #[serde(deserialize_with = "color")]
    pub frozen_tint: Color32,
    /// Trainable parts and edges that carry a gradient.
    #[serde(deserialize_with = "color")]
    pub trainable: Color32,
    /// Ground of trainable marks.
    #[serde(deserialize_with = "color")]
    pub trainable_tint: Color32,
    /// Unsaved or tight.
    #[serde(deserialize_with = "color")]
    pub warning: Color32,
    /// Errors; always with words.
    #[serde(deserialize_with = "color")]
    pub error: Color32,
    /// Ground of errors.
    #[serde(deserialize_with = "color")]
    pub error_tint: Color32,
    /// Step time: data, frozen forward, trainable forward, backward, optimizer.
    #[serde(deserialize_with = "row")]
    pub phases: [Color32; 5],
    /// The ramp of the heat overlay, each step further from the ground than the one before.
    #[serde(deserialize_with = "row")]
    heat: [Color32; 5],
    #[serde(deserialize_with = "pairs")]
    kinds: [(Color32, Color32); 5],
}

/// A colour as a theme's file writes it: `"#1C2027"`.
fn color<'de, D: Deserializer<'de>>(from: D) -> Result<Color32, D::Error> {
    let text = String::deserialize(from)?;
    hex(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is no colour such as \"#1C2027\"")))
}

fn hex(text: &str) -> Option<Color32> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
    Some(Color32::from_rgb(red, green, blue))
}

/// [`color`] for rows of five.
fn row<'de, D: Deserializer<'de>>(from: D) -> Result<[Color32; 5], D::Error> {
    let texts = <[String; 5]>::deserialize(from)?;
    let mut colors = [Color32::PLACEHOLDER; 5];
    for (color, text) in colors.iter_mut().zip(&texts) {
        *color = hex(text).ok_or_else(|| D::Error::custom(format!("`{text}` is no colour")))?;
    }
    Ok(colors)
}

/// [`row`] for pairs of a hue and its tint.
fn pairs<'de, D: Deserializer<'de>>(from: D) -> Result<[(Color32, Color32); 5], D::Error> {
    let texts = <[(String, String); 5]>::deserialize(from)?;
    let mut colors = [(Color32::PLACEHOLDER, Color32::PLACEHOLDER); 5];
    for (own, (color, tint)) in colors.iter_mut().zip(&texts) {
        let both = hex(color).zip(hex(tint));
        *own = both.ok_or_else(|| D::Error::custom(format!("`{color}` or `{tint}` is no colour")))?;
    }
    Ok(colors)
}

fn read(text: &str) -> Theme {
    ron::from_str(text)
        .unwrap_or_else(|error| unreachable!("the themes of this build are read by its tests: {error}"))
}

/// The dark theme.
pub static DARK: LazyLock<Theme> = LazyLock::new(|| read(include_str!("../../assets/themes/dark.ron")));

/// The light theme.
pub static LIGHT: LazyLock<Theme> = LazyLock::new(|| read(include_str!("../../assets/themes/light.ron")));

/// How an adapter kind is told apart: hue, tint and outline together with its letter.
#[derive(Clone, Copy, Debug)]
pub struct KindStyle {
    /// Its hue.
    pub color: Color32,
    /// The ground of its cards.
    pub tint: Color32,
    /// Its badge's outline.
    pub outline: Outline,
    /// Its letter.
    pub letter: char,
}

impl Theme {
    /// The theme that egui shows now.
    #[must_use]
    pub fn of(ui: &egui::Ui) -> &'static Self {
        if ui.visuals().dark_mode { &DARK } else { &LIGHT }
    }

    /// The heat ramp at a share from 0 to 1.
    #[must_use]
    pub fn heat(&self, share: f32) -> Color32 {
        let at = share.clamp(0.0, 1.0) * 4.0;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 3")]
        let low = (at.floor() as usize).min(3);
        #[expect(clippy::cast_precision_loss, reason = "at most 3")]
        let rest = at - low as f32;
        self.heat[low].lerp_to_gamma(self.heat[low + 1], rest)
    }

    /// A ground with the heat ramp's colour in it, faint enough for text.
    #[must_use]
    pub fn warm(&self, ground: Color32, share: f32) -> Color32 {
        ground.lerp_to_gamma(self.heat(share), 0.34)
    }

    /// How a kind looks, by its letter.
    #[must_use]
    pub fn kind(&self, letter: char) -> KindStyle {
        let (outline, place) = kinds::look(letter);
        let (color, tint) = self.kinds[place];
        KindStyle { color, tint, outline, letter }
    }

    /// What is frozen while a gradient passes through it: between frozen and trainable.
    #[must_use]
    pub fn passing(&self) -> Color32 {
        self.frozen.lerp_to_gamma(self.trainable, 0.5)
    }
}

/// Words, regular weight.
#[must_use]
pub const fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Words, medium weight.
#[must_use]
pub fn medium(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("medium".into()))
}

/// Words, semi-bold.
#[must_use]
pub fn bold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("bold".into()))
}

/// Numbers, shapes and patterns.
#[must_use]
pub const fn mono(size: f32) -> FontId {
    FontId::new(size, FontFamily::Monospace)
}

/// Installs fonts and both themes' styles.
pub fn install(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, of) in [(egui::Theme::Dark, &*DARK), (egui::Theme::Light, &*LIGHT)] {
        ctx.style_mut_of(theme, |style| apply(style, of));
    }
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let files: [(&str, &[u8]); 4] = [
        ("Inter", include_bytes!("../../assets/fonts/Inter-Regular.otf")),
        ("Inter medium", include_bytes!("../../assets/fonts/Inter-Medium.otf")),
        ("Inter bold", include_bytes!("../../assets/fonts/Inter-SemiBold.otf")),
        ("JetBrains Mono", include_bytes!("../../assets/fonts/JetBrainsMono-Regular.ttf")),
    ];
    for (name, bytes) in files {
        fonts.font_data.insert(name.to_owned(), Arc::new(FontData::from_static(bytes)));
    }
    let fallback = fonts.families.get(&FontFamily::Proportional).cloned().unwrap_or_default();
    let families = [
        (FontFamily::Proportional, "Inter"),
        (FontFamily::Name("medium".into()), "Inter medium"),
        (FontFamily::Name("bold".into()), "Inter bold"),
        (FontFamily::Monospace, "JetBrains Mono"),
    ];
    for (family, first) in families {
        let mut list = vec![first.to_owned()];
        list.extend(fallback.iter().cloned());
        fonts.families.insert(family, list);
    }
    fonts
}

fn apply(style: &mut egui::Style, theme: &Theme) {
    style.text_styles = [
        (TextStyle::Small, regular(11.0)),
        (TextStyle::Body, regular(12.0)),
        (TextStyle::Button, medium(12.0)),
        (TextStyle::Heading, bold(14.0)),
        (TextStyle::Monospace, mono(11.0)),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = egui::vec2(6.0, 4.0);
    spacing.button_padding = egui::vec2(10.0, 4.0);
    spacing.interact_size = egui::vec2(26.0, 26.0);
    spacing.menu_margin = egui::Margin::same(8);
    spacing.slider_width = 120.0;
    spacing.scroll.floating = true;
    style.interaction.selectable_labels = false;
    style.interaction.tooltip_delay = 0.3;
    style.visuals = visuals(theme);
}

fn visuals(theme: &Theme) -> Visuals {
    let mut visuals = if theme.dark { Visuals::dark() } else { Visuals::light() };
    visuals.panel_fill = theme.panel;
    visuals.window_fill = theme.popup;
    visuals.window_stroke = Stroke::new(1.0, theme.outline);
    visuals.window_corner_radius = 8.into();
    visuals.menu_corner_radius = 8.into();
    visuals.handle_shape = egui::style::HandleShape::Circle;
    visuals.popup_shadow = egui::Shadow::NONE;
    visuals.window_shadow = egui::Shadow::NONE;
    visuals.extreme_bg_color = theme.well;
    visuals.text_edit_bg_color = Some(theme.field);
    visuals.faint_bg_color = theme.card;
    visuals.override_text_color = None;
    visuals.weak_text_color = Some(theme.label);
    visuals.hyperlink_color = theme.brand;
    visuals.warn_fg_color = theme.warning;
    visuals.error_fg_color = theme.error;
    visuals.selection.bg_fill = theme.active;
    visuals.selection.stroke = Stroke::new(1.0, theme.text);
    let widgets = &mut visuals.widgets;
    for (state, fill, text) in [
        (&mut widgets.noninteractive, theme.panel, theme.body),
        (&mut widgets.inactive, theme.raised, theme.body),
        (&mut widgets.hovered, theme.active, theme.text),
        (&mut widgets.active, theme.active, theme.text),
        (&mut widgets.open, theme.raised, theme.text),
    ] {
        state.bg_fill = fill;
        state.weak_bg_fill = fill;
        state.bg_stroke = Stroke::new(1.0, theme.outline);
        state.fg_stroke = Stroke::new(1.0, text);
        state.corner_radius = 6.into();
        state.expansion = 0.0;
    }
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, theme.line);
    visuals
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much lighter one colour is than another, as WCAG counts it.
    fn contrast(a: Color32, b: Color32) -> f32 {
        let luminance = |color: Color32| {
            let linear = egui::Rgba::from(color);
            0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b() + 0.05
        };
        let (a, b) = (luminance(a), luminance(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn what_is_read_stands_out_from_its_ground() {
        for theme in [&*DARK, &*LIGHT] {
            for ground in [theme.panel, theme.card, theme.popup, theme.active] {
                let found = contrast(theme.body, ground);
                assert!(found >= 4.5, "dark {}: {found} on {ground:?}", theme.dark);
            }
            let found = contrast(theme.label, theme.popup);
            assert!(found >= 4.5, "dark {}: {found}", theme.dark);
        }
    }

    #[test]
    fn the_heat_ramp_goes_one_way() {
        let lightness = |color: Color32| {
            let linear = egui::Rgba::from(color);
            let luminance = 0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b();
            luminance.cbrt()
        };
        for theme in [&*DARK, &*LIGHT] {
            let steps: Vec<f32> = (0..=20u8).map(|i| lightness(theme.heat(f32::from(i) / 20.0))).collect();
            for pair in steps.windows(2) {
                let away = if theme.dark { pair[1] - pair[0] } else { pair[0] - pair[1] };
                assert!(away > 0.0, "dark {}: {steps:?}", theme.dark);
            }
        }
    }
}

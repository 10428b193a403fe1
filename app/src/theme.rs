//! Colours, type and the egui style made from them. No raw colour stands anywhere else.

use std::sync::Arc;

use egui::{Color32, FontData, FontDefinitions, FontFamily, FontId, Stroke, TextStyle, Visuals};

use crate::kinds::{self, Outline};

/// The colours of one theme.
#[derive(Debug)]
pub struct Theme {
    /// Whether it is the dark one.
    pub dark: bool,
    /// Canvas and plot wells.
    pub well: Color32,
    /// Panels and bars.
    pub panel: Color32,
    /// Cards.
    pub card: Color32,
    /// Inner nodes, buttons, hovered rows.
    pub raised: Color32,
    /// Selected rows and the active segment.
    pub active: Color32,
    /// Text and number fields.
    pub field: Color32,
    /// Menus and hover cards.
    pub popup: Color32,
    /// Rules between panels and the plots' grid.
    pub line: Color32,
    /// Outlines of cards and fields.
    pub outline: Color32,
    /// Edges that carry no gradient.
    pub edge: Color32,
    /// Titles and values.
    pub text: Color32,
    /// Body text.
    pub body: Color32,
    /// Labels, units and axes.
    pub label: Color32,
    /// Placeholders and decoration.
    pub faint: Color32,
    /// Selection ring and row marker.
    pub selection: Color32,
    /// Letter on a filled badge.
    pub ink: Color32,
    /// Train, the active tab, progress, measured curves.
    pub brand: Color32,
    /// Text on the brand colour.
    pub brand_ink: Color32,
    /// A faint ground of the brand colour.
    pub brand_tint: Color32,
    /// Frozen parts.
    pub frozen: Color32,
    /// Ground of the frozen side.
    pub frozen_tint: Color32,
    /// Trainable parts and edges that carry a gradient.
    pub trainable: Color32,
    /// Ground of trainable marks.
    pub trainable_tint: Color32,
    /// Unsaved or tight.
    pub warning: Color32,
    /// Errors; always with words.
    pub error: Color32,
    /// Ground of errors.
    pub error_tint: Color32,
    /// Step time: data, frozen forward, trainable forward, backward, optimizer.
    pub phases: [Color32; 5],
    /// The ramp of the heat overlay, each step further from the ground than the one before.
    heat: [Color32; 5],
    kinds: [(Color32, Color32); 5],
}

const fn rgb(hex: u32) -> Color32 {
    let [_, red, green, blue] = hex.to_be_bytes();
    Color32::from_rgb(red, green, blue)
}

/// The dark theme.
pub static DARK: Theme = Theme {
    dark: true,
    well: rgb(0x000E_1014),
    panel: rgb(0x0015_181D),
    card: rgb(0x001C_2027),
    raised: rgb(0x0025_2A33),
    active: rgb(0x0031_3846),
    field: rgb(0x0010_1318),
    popup: rgb(0x0025_2A33),
    line: rgb(0x0024_2932),
    outline: rgb(0x003A_4250),
    edge: rgb(0x005A_6474),
    text: rgb(0x00EE_F1F6),
    body: rgb(0x00BF_C6D2),
    label: rgb(0x008C_95A4),
    faint: rgb(0x0066_7080),
    selection: rgb(0x00F4_F7FB),
    ink: rgb(0x000C_0E12),
    brand: rgb(0x004C_C38F),
    brand_ink: rgb(0x0006_170F),
    brand_tint: rgb(0x0016_271F),
    frozen: rgb(0x00A4_C1DE),
    frozen_tint: rgb(0x0011_171F),
    trainable: rgb(0x00F2_8C58),
    trainable_tint: rgb(0x002C_1C14),
    warning: rgb(0x00E9_A23B),
    error: rgb(0x00F2_686A),
    error_tint: rgb(0x002E_1719),
    phases: [rgb(0x004A_5363), rgb(0x005F_7D9C), rgb(0x00DF_AE90), rgb(0x00D4_743F), rgb(0x008A_4523)],
    heat: [rgb(0x002B_2338), rgb(0x0054_305A), rgb(0x008A_3B66), rgb(0x00C4_575C), rgb(0x00EE_8F5B)],
    kinds: [
        (rgb(0x00A7_9EF2), rgb(0x0022_1F36)),
        (rgb(0x006F_EADF), rgb(0x0013_2C2C)),
        (rgb(0x00EC_CB62), rgb(0x002D_2815)),
        (rgb(0x00D9_669A), rgb(0x0033_1B28)),
        (rgb(0x0054_81FC), rgb(0x0016_2140)),
    ],
};

/// The light theme.
pub static LIGHT: Theme = Theme {
    dark: false,
    well: rgb(0x00F1_F3F6),
    panel: rgb(0x00FB_FCFD),
    card: rgb(0x00FF_FFFF),
    raised: rgb(0x00EE_F0F4),
    active: rgb(0x00DF_E4EC),
    field: rgb(0x00FF_FFFF),
    popup: rgb(0x00FF_FFFF),
    line: rgb(0x00E1_E5EB),
    outline: rgb(0x00C3_CAD5),
    edge: rgb(0x008A_94A3),
    text: rgb(0x0012_161D),
    body: rgb(0x0039_424F),
    label: rgb(0x005F_6979),
    faint: rgb(0x008A_94A3),
    selection: rgb(0x0012_161D),
    ink: rgb(0x00FF_FFFF),
    brand: rgb(0x0014_804F),
    brand_ink: rgb(0x00FF_FFFF),
    brand_tint: rgb(0x00E3_F3EB),
    frozen: rgb(0x0045_5B71),
    frozen_tint: rgb(0x00E7_EDF4),
    trainable: rgb(0x00BB_4E1D),
    trainable_tint: rgb(0x00FB_EBE2),
    warning: rgb(0x00A8_6400),
    error: rgb(0x00C4_302F),
    error_tint: rgb(0x00FC_E8E7),
    phases: [rgb(0x00B4_BCC8), rgb(0x006F_8AA6), rgb(0x00F0_BFA3), rgb(0x00BB_4E1D), rgb(0x0074_2C0C)],
    heat: [rgb(0x00E9_DFF0), rgb(0x00CD_B0DA), rgb(0x00C6_83B0), rgb(0x00D9_6870), rgb(0x00C9_561F)],
    kinds: [
        (rgb(0x007E_2FC8), rgb(0x00F2_E8FB)),
        (rgb(0x0011_7E91), rgb(0x00E0_F2F5)),
        (rgb(0x005A_4400), rgb(0x00F7_EFCF)),
        (rgb(0x00A8_1B51), rgb(0x00FA_E6EE)),
        (rgb(0x000E_2492), rgb(0x00E4_E8F8)),
    ],
};

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
    for (theme, of) in [(egui::Theme::Dark, &DARK), (egui::Theme::Light, &LIGHT)] {
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

    #[test]
    fn the_heat_ramp_goes_one_way() {
        let lightness = |color: Color32| {
            let linear = egui::Rgba::from(color);
            let luminance = 0.2126 * linear.r() + 0.7152 * linear.g() + 0.0722 * linear.b();
            luminance.cbrt()
        };
        for theme in [&DARK, &LIGHT] {
            let steps: Vec<f32> = (0..=20u8).map(|i| lightness(theme.heat(f32::from(i) / 20.0))).collect();
            for pair in steps.windows(2) {
                let away = if theme.dark { pair[1] - pair[0] } else { pair[0] - pair[1] };
                assert!(away > 0.0, "dark {}: {steps:?}", theme.dark);
            }
        }
    }
}

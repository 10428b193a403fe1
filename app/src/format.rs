//! Numbers as people read them: thousands with commas, `k` and `M`, MiB, minutes. An unknown value is an en dash.

/// What stands for an unknown value.
pub const UNKNOWN: &str = "–";

/// `1,234,567`.
#[must_use]
pub fn whole(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits with a unit: `591 k`, `85.1 M`; a count below a thousand as it is.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn short(count: u64) -> String {
    let value = count as f64;
    match count {
        0..1_000 => count.to_string(),
        1_000..1_000_000 => three(value / 1e3, "k"),
        1_000_000..1_000_000_000 => three(value / 1e6, "M"),
        _ => three(value / 1e9, "G"),
    }
}

fn three(value: f64, unit: &str) -> String {
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {unit}")
}

/// `5.1 MiB`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(bytes: u64) -> String {
    let value = bytes as f64;
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.0} KiB", value / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", value / 1_048_576.0),
        _ => format!("{:.2} GiB", value / 1_073_741_824.0),
    }
}

/// `37 s`, `5 m 24 s`, `2 h 03 m`.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be small and positive"
)]
pub fn duration(secs: f64) -> String {
    if !secs.is_finite() || !(0.0..=1e9).contains(&secs) {
        return UNKNOWN.to_owned();
    }
    let whole = secs.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} m {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} m", whole / 3600, whole / 60 % 60),
    }
}

/// `25.1 ms`, `474 ms`, `1.39 s`.
#[must_use]
pub fn step_time(secs: f64) -> String {
    if !secs.is_finite() {
        UNKNOWN.to_owned()
    } else if secs < 0.0995 {
        format!("{:.1} ms", secs * 1e3)
    } else if secs < 0.9995 {
        format!("{:.0} ms", secs * 1e3)
    } else {
        format!("{secs:.2} s")
    }
}

/// `16×197×768`; a batch of one is not told.
#[must_use]
pub fn shape(extents: &[usize]) -> String {
    let extents = match extents {
        [1, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    extents.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// A setting's value without needless zeros.
#[must_use]
pub fn number(value: f64) -> String {
    format!("{value}").replace('-', "−")
}

/// Per cent with as many digits as tell something: `0.66 %`, `12 %`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return UNKNOWN.to_owned();
    }
    let value = 100.0 * part as f64 / all as f64;
    if part == 0 || value >= 9.95 { format!("{value:.0} %") } else { format!("{value:.2} %") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_bytes() {
        assert_eq!(whole(1_234_567), "1,234,567");
        assert_eq!(whole(12), "12");
        assert_eq!([short(999), short(590_592), short(85_054_464)], ["999", "591 k", "85.1 M"]);
        assert_eq!([bytes(512), bytes(5_347_737), bytes(3 << 30)], ["512 B", "5.1 MiB", "3.00 GiB"]);
    }

    #[test]
    fn times_shapes_and_shares() {
        assert_eq!([duration(7.4), duration(324.0), duration(7380.0)], ["7 s", "5 m 24 s", "2 h 03 m"]);
        assert_eq!(duration(f64::NAN), UNKNOWN);
        assert_eq!([step_time(0.0251), step_time(0.474), step_time(1.386)], ["25.1 ms", "474 ms", "1.39 s"]);
        assert_eq!(shape(&[1, 16, 768]), "16×768");
        assert_eq!([share(759_130, 115_700_000), share(1, 2), share(1, 0)], ["0.66 %", "50 %", UNKNOWN]);
    }
}

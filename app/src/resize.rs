//! An adapter twice or half as large.

use graft_engine::adapters::Placement;

use crate::model::Model;

/// Another size of an adapter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resized {
    /// The setting that says how large it is.
    pub name: &'static str,
    /// What that is called.
    pub label: &'static str,
    /// Its value now.
    pub from: f64,
    /// Its value then.
    pub to: f64,
}

/// The same adapter twice or half as large; none where nothing says how large it is, or it cannot be larger or smaller.
#[must_use]
pub(crate) fn resized(
    placement: &Placement,
    model: Option<&Model>,
    index: usize,
    larger: bool,
) -> Option<Resized> {
    // A size that follows from a wanted number of parameters is known from the model.
    let covered = model.and_then(|model| Some((model, model.coverage.get(index)?.as_ref().ok()?)));
    let sized = covered.and_then(|(model, covered)| placement.sized(&model.graph, &covered.matched).ok());
    let spec = sized.unwrap_or_else(|| placement.kind.clone());
    let settings = spec.kind().settings();
    let of = |name: &str| settings.iter().find(|setting| setting.name == name);
    // Where a share of the features says it, the width that is written does not count.
    let reduction = of("reduction").filter(|setting| setting.value > 0.0);
    let setting = reduction.or_else(|| of(spec.kind().size()?))?;
    let grows = larger == reduction.is_none();
    let value = if grows { 2.0 * setting.value } else { setting.value / 2.0 };
    let value = if setting.whole { value.floor().max(1.0) } else { value };
    let to = value.clamp(setting.range.0, setting.range.1);
    #[expect(clippy::float_cmp, reason = "at its bound it stays what it is")]
    let changes = to != setting.value;
    changes.then_some(Resized { name: setting.name, label: setting.label, from: setting.value, to })
}

#[cfg(test)]
mod tests {
    use graft_engine::adapters::{AdapterSpec, Placement};

    use super::resized;

    fn sizes(kind: &str, larger: bool) -> Option<(String, f64, f64)> {
        // As project files write it.
        let options = ron::Options::default()
            .with_default_extension(ron::extensions::Extensions::UNWRAP_VARIANT_NEWTYPES);
        let kind: AdapterSpec = options.from_str(kind).unwrap();
        let placement = Placement { at: "model.head".to_owned(), kind, parameters: None };
        resized(&placement, None, 0, larger).map(|it| (it.name.to_owned(), it.from, it.to))
    }

    #[test]
    fn whole_sizes_shares_and_reductions() {
        assert_eq!(sizes("Lora(rank: 8)", true), Some(("rank".to_owned(), 8.0, 16.0)));
        assert_eq!(sizes("Lora(rank: 3)", false), Some(("rank".to_owned(), 3.0, 1.0)));
        assert_eq!(sizes("Lora(rank: 1)", false), None, "it is not smaller than one");
        // Where the width is a share of the features, the larger adapter has the smaller divisor.
        assert_eq!(sizes("Bottleneck(reduction: 16)", true), Some(("reduction".to_owned(), 16.0, 8.0)));
        let (name, from, to) = sizes("Sparse(share: 0.02)", false).unwrap();
        assert_eq!(name, "share");
        assert!((from - 0.02).abs() < 1e-12 && (to - 0.01).abs() < 1e-12, "{from} {to}");
    }
}

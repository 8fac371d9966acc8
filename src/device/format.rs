//! The layouts of engines' paged KV caches, by LMCache's names and numbers.
//!
//! A name is a shape: `X` stands between lists, `_` between the axes of a tensor. `TWO_X_NL_X_NB_BS_NH_HS` is two lists (K
//! and V) of NL tensors (one a layer) with the axes NB (blocks), BS (tokens of a block), NH (heads) and HS (the content
//! of a head). `docs/device.md` has the table, with the engines that use each.

use crate::error::{Error, Result};

/// A layout: `EngineKVFormat` of LMCache 0.5.6, with its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types, reason = "LMCache's names")]
#[repr(u8)]
pub enum EngineKvFormat {
    /// All layers in one tensor. vLLM, cross-layer.
    NB_NL_TWO_BS_NH_HS = 0,
    /// A tensor a layer, all of K before all of V. vLLM, FlashAttention.
    NL_X_TWO_NB_BS_NH_HS = 1,
    /// A tensor a layer, K and V of a block together. vLLM, FlashInfer.
    NL_X_NB_TWO_BS_NH_HS = 2,
    /// A tensor a layer, one plane. MLA in vLLM and SGLang.
    NL_X_NB_BS_HS = 3,
    /// The layers' K, then the layers' V; blocks and their tokens are one axis. SGLang, MHA.
    TWO_X_NL_X_NBBS_NH_HS = 4,
    /// As `NL_X_NB_BS_HS`; blocks and their tokens are one axis. SGLang, MLA.
    NL_X_NBBS_ONE_HS = 5,
    /// As `NL_X_TWO_NB_BS_NH_HS`, heads before tokens.
    NL_X_TWO_NB_NH_BS_HS = 6,
    /// As `NL_X_NB_TWO_BS_NH_HS`, heads before tokens.
    NL_X_NB_TWO_NH_BS_HS = 7,
    /// As `NB_NL_TWO_BS_NH_HS`, heads before tokens. TensorRT-LLM.
    NB_NL_TWO_NH_BS_HS = 8,
    /// The layers' K, then the layers' V. SGLang, MHA.
    TWO_X_NL_X_NB_BS_NH_HS = 9,
    /// As `NL_X_NB_NH_BS_CS`, which took its place.
    NL_X_NB_NH_BS_TWO_HS = 10,
    /// As `NL_X_NB_BS_NH_CS`, which took its place.
    NL_X_NB_BS_NH_TWO_HS = 11,
    /// A tensor a layer, K and V of a head in one row, heads before tokens. vLLM.
    NL_X_NB_NH_BS_CS = 12,
    /// A tensor a layer, K and V of a head in one row. vLLM.
    NL_X_NB_BS_NH_CS = 13,
    /// A tensor a layer, one plane: in each block the values of all tokens, then their scales. vLLM's DSA indexer.
    NL_X_NB_BSV_BSS = 14,
    /// `NL_X_TWO_NB_NH_BS_HS` with an axis of 1 more: the same bytes. vLLM on RBLN.
    NL_X_TWO_NB_NH_ONE_BS_HS = 15,
    /// K and V of each layer in tensors of their own. vLLM on Ascend.
    NL_X_TWO_X_NB_BS_NH_HS = 16,
    /// A row in several planes of unequal width, each a tensor of its layer: NP of them. vLLM on Ascend, MLA and DSA.
    NL_X_NP_X_NB_BS_ONE_HS = 17,
    /// A tensor for the K or the V of a layer, which count as layers of their own. SGLang.
    NL_X_NB_BS_NH_HS = 18,
}

/// What an index counts. Axes of size 1 are left out: they move no byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// NB.
    Blocks,
    /// NL.
    Layers,
    /// 2: K, V.
    Planes,
    /// BS.
    Tokens,
    /// NH.
    Heads,
    /// HS or CS.
    Content,
    /// The rows of a block with the parts of a row apart: BSV, BSS.
    SplitRows,
}

/// A layout, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Axes {
    /// What tells the tensors apart, outermost first.
    pub(super) lists: &'static [Axis],
    /// The axes of a tensor, outermost first.
    pub(super) tensor: &'static [Axis],
}

impl EngineKvFormat {
    /// All of them, by number.
    pub const ALL: [Self; 19] = [
        Self::NB_NL_TWO_BS_NH_HS,
        Self::NL_X_TWO_NB_BS_NH_HS,
        Self::NL_X_NB_TWO_BS_NH_HS,
        Self::NL_X_NB_BS_HS,
        Self::TWO_X_NL_X_NBBS_NH_HS,
        Self::NL_X_NBBS_ONE_HS,
        Self::NL_X_TWO_NB_NH_BS_HS,
        Self::NL_X_NB_TWO_NH_BS_HS,
        Self::NB_NL_TWO_NH_BS_HS,
        Self::TWO_X_NL_X_NB_BS_NH_HS,
        Self::NL_X_NB_NH_BS_TWO_HS,
        Self::NL_X_NB_BS_NH_TWO_HS,
        Self::NL_X_NB_NH_BS_CS,
        Self::NL_X_NB_BS_NH_CS,
        Self::NL_X_NB_BSV_BSS,
        Self::NL_X_TWO_NB_NH_ONE_BS_HS,
        Self::NL_X_TWO_X_NB_BS_NH_HS,
        Self::NL_X_NP_X_NB_BS_ONE_HS,
        Self::NL_X_NB_BS_NH_HS,
    ];

    /// LMCache's number for it.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The layout of that number.
    ///
    /// # Errors
    /// If LMCache 0.5.6 has none.
    pub fn from_number(number: i64) -> Result<Self> {
        let found = usize::try_from(number).ok().and_then(|number| Self::ALL.get(number));
        found.copied().ok_or_else(|| unknown(number))
    }

    /// LMCache's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NB_NL_TWO_BS_NH_HS => "NB_NL_TWO_BS_NH_HS",
            Self::NL_X_TWO_NB_BS_NH_HS => "NL_X_TWO_NB_BS_NH_HS",
            Self::NL_X_NB_TWO_BS_NH_HS => "NL_X_NB_TWO_BS_NH_HS",
            Self::NL_X_NB_BS_HS => "NL_X_NB_BS_HS",
            Self::TWO_X_NL_X_NBBS_NH_HS => "TWO_X_NL_X_NBBS_NH_HS",
            Self::NL_X_NBBS_ONE_HS => "NL_X_NBBS_ONE_HS",
            Self::NL_X_TWO_NB_NH_BS_HS => "NL_X_TWO_NB_NH_BS_HS",
            Self::NL_X_NB_TWO_NH_BS_HS => "NL_X_NB_TWO_NH_BS_HS",
            Self::NB_NL_TWO_NH_BS_HS => "NB_NL_TWO_NH_BS_HS",
            Self::TWO_X_NL_X_NB_BS_NH_HS => "TWO_X_NL_X_NB_BS_NH_HS",
            Self::NL_X_NB_NH_BS_TWO_HS => "NL_X_NB_NH_BS_TWO_HS",
            Self::NL_X_NB_BS_NH_TWO_HS => "NL_X_NB_BS_NH_TWO_HS",
            Self::NL_X_NB_NH_BS_CS => "NL_X_NB_NH_BS_CS",
            Self::NL_X_NB_BS_NH_CS => "NL_X_NB_BS_NH_CS",
            Self::NL_X_NB_BSV_BSS => "NL_X_NB_BSV_BSS",
            Self::NL_X_TWO_NB_NH_ONE_BS_HS => "NL_X_TWO_NB_NH_ONE_BS_HS",
            Self::NL_X_TWO_X_NB_BS_NH_HS => "NL_X_TWO_X_NB_BS_NH_HS",
            Self::NL_X_NP_X_NB_BS_ONE_HS => "NL_X_NP_X_NB_BS_ONE_HS",
            Self::NL_X_NB_BS_NH_HS => "NL_X_NB_BS_NH_HS",
        }
    }

    /// The layout of that name.
    ///
    /// # Errors
    /// If LMCache 0.5.6 has none.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| unknown(name))
    }

    /// How many planes a layer has in an object: K and V, or one. LMCache's `kv_size`.
    pub fn planes(self) -> u64 {
        let Axes { lists, tensor } = self.axes();
        if lists.contains(&Axis::Planes) || tensor.contains(&Axis::Planes) { 2 } else { 1 }
    }

    /// Whether a row has no heads, but one latent.
    pub fn is_mla(self) -> bool {
        !self.axes().tensor.contains(&Axis::Heads)
    }

    pub(super) fn axes(self) -> Axes {
        use Axis::{Blocks, Content, Heads, Layers, Planes, SplitRows, Tokens};
        let axes = |lists, tensor| Axes { lists, tensor };
        match self {
            Self::NB_NL_TWO_BS_NH_HS => axes(&[], &[Blocks, Layers, Planes, Tokens, Heads, Content]),
            Self::NB_NL_TWO_NH_BS_HS => axes(&[], &[Blocks, Layers, Planes, Heads, Tokens, Content]),
            Self::NL_X_TWO_NB_BS_NH_HS => axes(&[Layers], &[Planes, Blocks, Tokens, Heads, Content]),
            Self::NL_X_TWO_NB_NH_BS_HS | Self::NL_X_TWO_NB_NH_ONE_BS_HS => {
                axes(&[Layers], &[Planes, Blocks, Heads, Tokens, Content])
            }
            Self::NL_X_NB_TWO_BS_NH_HS => axes(&[Layers], &[Blocks, Planes, Tokens, Heads, Content]),
            Self::NL_X_NB_TWO_NH_BS_HS => axes(&[Layers], &[Blocks, Planes, Heads, Tokens, Content]),
            Self::NL_X_NB_BS_HS | Self::NL_X_NBBS_ONE_HS | Self::NL_X_NP_X_NB_BS_ONE_HS => {
                axes(&[Layers], &[Blocks, Tokens, Content])
            }
            Self::TWO_X_NL_X_NBBS_NH_HS | Self::TWO_X_NL_X_NB_BS_NH_HS => {
                axes(&[Planes, Layers], &[Blocks, Tokens, Heads, Content])
            }
            Self::NL_X_TWO_X_NB_BS_NH_HS => axes(&[Layers, Planes], &[Blocks, Tokens, Heads, Content]),
            Self::NL_X_NB_NH_BS_CS | Self::NL_X_NB_NH_BS_TWO_HS => {
                axes(&[Layers], &[Blocks, Heads, Tokens, Content])
            }
            Self::NL_X_NB_BS_NH_CS | Self::NL_X_NB_BS_NH_TWO_HS | Self::NL_X_NB_BS_NH_HS => {
                axes(&[Layers], &[Blocks, Tokens, Heads, Content])
            }
            Self::NL_X_NB_BSV_BSS => axes(&[Layers], &[Blocks, SplitRows]),
        }
    }

    /// Whether blocks may lie farther apart than they are long: they are the first axis, and one that is not fused
    /// with their tokens.
    pub(super) fn blocks_can_be_apart(self) -> bool {
        let is_fused = matches!(self, Self::TWO_X_NL_X_NBBS_NH_HS | Self::NL_X_NBBS_ONE_HS);
        !is_fused && self.axes().tensor.first() == Some(&Axis::Blocks)
    }
}

fn unknown(what: impl std::fmt::Display) -> Error {
    Error::invalid("no layout of an engine's KV cache is called so")
        .with_context("format", what)
        .with_hint("docs/device.md has the names and numbers, which are those of LMCache's EngineKVFormat")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a name says, read as LMCache reads it.
    fn spelled(name: &str) -> (Vec<Axis>, Vec<Axis>) {
        let parts: Vec<_> = name.split("_X_").collect();
        let (tensor, lists) = parts.split_last().expect("a name");
        let axis = |token: &str| match token {
            "NB" => vec![Axis::Blocks],
            "NBBS" => vec![Axis::Blocks, Axis::Tokens],
            "NL" => vec![Axis::Layers],
            "TWO" => vec![Axis::Planes],
            "BS" => vec![Axis::Tokens],
            "NH" => vec![Axis::Heads],
            "HS" | "CS" => vec![Axis::Content],
            "BSV" => vec![Axis::SplitRows],
            "BSS" | "ONE" | "NP" => vec![],
            other => panic!("{other}"),
        };
        (lists.iter().flat_map(|t| axis(t)).collect(), tensor.split('_').flat_map(axis).collect())
    }

    #[test]
    fn numbers_and_names_are_found_again_and_a_name_is_its_axes() {
        for (number, format) in EngineKvFormat::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(format.number()), number);
            assert_eq!(EngineKvFormat::from_number(number as i64).unwrap(), format);
            assert_eq!(EngineKvFormat::from_name(format.name()).unwrap(), format);
            let (lists, mut tensor) = spelled(format.name());
            // The packed layouts of old write the content as two axes, which lie behind each other.
            if format.name().ends_with("TWO_HS") {
                tensor.retain(|axis| *axis != Axis::Planes);
            }
            assert_eq!(format.axes(), Axes { lists: lists.leak(), tensor: tensor.leak() }, "{format:?}");
        }
    }

    #[test]
    fn numbers_and_names_past_the_last_are_refused() {
        for number in [-1, 19, i64::MAX, i64::MIN] {
            assert!(EngineKvFormat::from_number(number).is_err());
        }
        assert!(EngineKvFormat::from_name("nl_x_nb_bs_hs").is_err());
    }
}

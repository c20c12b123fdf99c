//! Attention problems: sizes, options and data that are sampled from a seed, with the oracle's answers. The fused
//! kernels' cases and `verify`'s matrix are made of them.

use std::fmt;

use crate::kernel::Inputs;
use crate::per_head::PerHead;

/// Where queries stand among the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Position {
    /// Query i at key i.
    Start,
    /// The last query at the last key of its item.
    End,
    /// Query i at key i + n.
    Offset(i32),
}

/// Which keys of an item are padding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    None,
    Lengths,
    Mask,
}

/// How queries, keys and values lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// `[B, H, L, D]`.
    HeadsFirst,
    /// `[B, L, H, D]`, a gap of NaN behind each row.
    RowsFirst,
    /// As `HeadsFirst`, and all batch items share the keys and values of one (a stride of 0).
    Shared,
    /// `[total, H, D]`, items of different lengths one after the other.
    Packed,
    /// Keys and values in blocks of that many, in an order of their own.
    Paged(u32),
}

/// Where inputs that are not finite are planted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Poison {
    /// NaN in all that no query may attend to.
    Hidden,
    /// And a NaN in one key that is allowed.
    Key,
    /// And a NaN or an infinity in one value.
    Value,
    /// And a score of +∞, of one of the first keys. Never sampled.
    Peak,
    /// And scores of −∞: all of item 0 in the first key-value head, the first 64 keys elsewhere. Never sampled.
    Abyss,
    /// Such a value of the last key that the first head's middle query sees.
    Middle,
}

/// What a float mask has for the keys that it is to keep out. Only −∞ does; a finite number is added to the score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Low {
    /// −∞.
    Infinite,
    /// That number, in whole rows of the mask too.
    Number(f32),
    /// −∞, f32's lowest number and −3.4e38 in turns, in whole rows too.
    Mixed,
    /// That number for the keys of the first half, and none for the others.
    FirstHalf(f32),
}

/// One attention. Its `Debug` form tells all of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Problem {
    pub seed: u64,
    pub batch: u32,
    pub key_heads: u32,
    pub heads_per_key: u32,
    pub queries: u32,
    pub keys: u32,
    pub head_dim: u32,
    pub value_dim: u32,
    /// The standard deviation of the logits, about; above 100 they are whole numbers, exact in f32.
    pub spread: f32,
    pub softcap: f32,
    pub causal: bool,
    pub position: Position,
    pub window: [Option<u32>; 2],
    pub padding: Padding,
    /// Boolean or float, and which of its axes are there.
    pub mask: Option<(bool, [bool; 4])>,
    /// What a float mask has for what it is to keep out; where that is no −∞, biases by distance have it for one distance in
    /// three too.
    pub low: Low,
    /// Which numbers the heads have.
    pub per_head: PerHead<bool>,
    /// Biases by distance, up to that one.
    pub relative: Option<u32>,
    pub placement: Placement,
    pub poison: Poison,
    /// Keys and values stored as f16.
    pub half: bool,
    /// The oracle takes queries that are rounded to f16.
    pub half_queries: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { batch, key_heads, heads_per_key, queries, keys, head_dim, value_dim, .. } = self;
        let heads = key_heads * heads_per_key;
        write!(f, "#{} B={batch} H={heads}/{heads_per_key} Lq={queries} Lk={keys} D={head_dim}", self.seed)?;
        if value_dim != head_dim {
            write!(f, "/{value_dim}")?;
        }
        write!(f, " {:?} ×{}", self.placement, self.spread)?;
        if self.softcap != 0.0 {
            write!(f, " softcap {}", self.softcap)?;
        }
        if self.causal {
            write!(f, " causal")?;
        }
        if self.window != [None; 2] {
            write!(f, " window {:?}", self.window)?;
        }
        if self.causal || self.per_head.alibi_slopes || self.relative.is_some() || self.window != [None; 2] {
            write!(f, " from {:?}", self.position)?;
        }
        if self.padding != Padding::None {
            write!(f, " padding {:?}", self.padding)?;
        }
        if let Some((float, axes)) = self.mask {
            let axes: String =
                "BHQK".chars().zip(axes).map(|(name, there)| if there { name } else { '1' }).collect();
            write!(f, " {} mask {axes}", if float { "float" } else { "bool" })?;
            if self.low != Low::Infinite {
                write!(f, " {:?}", self.low)?;
            }
        }
        for (name, there) in self.per_head.entries().into_iter().chain([("f16", self.half)]) {
            if there {
                write!(f, " {name}")?;
            }
        }
        if let Some(reach) = self.relative {
            write!(f, " biases by distance up to {reach}")?;
        }
        if self.poison != Poison::Hidden {
            write!(f, " poison {:?}", self.poison)?;
        }
        Ok(())
    }
}

const LENGTHS: [u32; 16] = [0, 1, 2, 3, 7, 17, 31, 32, 33, 63, 64, 65, 127, 129, 257, 1025];
const HEAD_DIMS: [u32; 12] = [1, 8, 21, 40, 59, 64, 80, 96, 111, 128, 203, 256];

impl Problem {
    /// The problem of that seed, with at most about `work` products of a query and a key element.
    pub fn sample(seed: u64, work: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mut pick = |count: usize| random.usize(..count);
        let mut one_in = |count: usize| pick(count) == 0;
        let [causal, softcap, sinks, slopes, half] = [2, 4, 5, 5, 4].map(&mut one_in);
        let window = [one_in(4), one_in(6)];
        let float_mask = one_in(2);
        let masked = one_in(2);
        let axes = [one_in(2), one_in(2), !one_in(3), !one_in(5)];
        let packed_lengths = one_in(3);
        let same_dims = !one_in(3);
        let placement = match pick(10) {
            0..=2 => Placement::HeadsFirst,
            3..=5 => Placement::RowsFirst,
            6 => Placement::Shared,
            7 => Placement::Packed,
            _ => Placement::Paged([1, 3, 16, 32][pick(4)]),
        };
        let padding = match pick(5) {
            0 | 1 => Padding::None,
            // A padding mask and tables would share a buffer, and packed rows have no padding.
            2 if !matches!(placement, Placement::Packed | Placement::Paged(_)) => Padding::Mask,
            _ if packed_lengths && placement == Placement::Packed => Padding::None,
            _ => Padding::Lengths,
        };
        let head_dim = HEAD_DIMS[pick(HEAD_DIMS.len())];
        let value_dim = if same_dims { head_dim } else { HEAD_DIMS[pick(HEAD_DIMS.len())] };
        let [batch, key_heads, heads_per_key] = [[1, 2, 3], [1, 2, 3], [1, 1, 4]].map(|sizes| sizes[pick(3)]);
        let [mut queries, mut keys] = [pick(LENGTHS.len()), pick(LENGTHS.len())].map(|place| LENGTHS[place]);
        // Few queries over many keys, as in decoding, are met more often than by chance.
        if pick(4) == 0 {
            queries = 1 + pick(8) as u32;
        }
        let per_pair = u64::from(batch * key_heads * heads_per_key * (head_dim + value_dim));
        while per_pair * u64::from(queries) * u64::from(keys) > work {
            if queries > keys { queries /= 2 } else { keys /= 2 }
        }
        if let Placement::Paged(block) = placement {
            keys = keys.next_multiple_of(block);
        }
        let position = match pick(4) {
            0 => Position::Start,
            1 | 2 => Position::End,
            _ => Position::Offset(pick(keys as usize + 8) as i32 - 4),
        };
        let spread = [1.0, 1.0, 4.0, 16.0, 1e4][pick(5)];
        let poison = match (pick(6), spread == 1.0) {
            (0, _) => Poison::Key,
            // Where logits are far apart, a weight of 0 in f32 hides what f64 shows.
            (1, true) => Poison::Value,
            _ => Poison::Hidden,
        };
        let mut reach = || pick(keys as usize / 2 + 2) as u32;
        let window = window.map(|there| there.then(&mut reach));
        // Drawn last: a seed's other options were there first.
        let relative = (pick(6) == 0 && spread < 100.0).then(|| [0, 1, 5, 32, 128][pick(5)]);
        let low = match pick(6) {
            0 => Low::Number(f32::MIN),
            1 => Low::Number([-3.4e38, 3.4e38][pick(2)]),
            2 => Low::Mixed,
            3 => Low::FirstHalf(f32::MIN),
            _ => Low::Infinite,
        };
        let head_scales = pick(5) == 0 && spread < 100.0;
        Self {
            seed,
            batch,
            key_heads,
            heads_per_key,
            queries,
            keys,
            head_dim,
            value_dim,
            spread,
            // A softcapped score is no longer exact.
            softcap: if softcap && spread < 100.0 { 15.0 } else { 0.0 },
            causal,
            position,
            window,
            padding,
            mask: masked.then_some((float_mask, axes)),
            // Beside such numbers weights are 0 in f32, which takes nothing from a value: a NaN there would not show.
            low: if masked && float_mask && poison != Poison::Value { low } else { Low::Infinite },
            per_head: PerHead { head_scales, alibi_slopes: slopes && spread < 100.0, sinks },
            relative,
            placement,
            poison,
            half,
            half_queries: false,
        }
    }

    /// The heads' numbers.
    pub(super) fn head_numbers(&self, inputs: &mut Inputs) -> PerHead<Vec<f32>> {
        let heads = self.heads() as usize;
        // Above 1 and below, the first of them of either sign.
        let mut head_scales = Inputs::new(self.seed ^ 0x7a0).values(heads, 0.5);
        head_scales.iter_mut().skip(1).for_each(|scale| *scale = scale.exp());
        PerHead {
            head_scales,
            alibi_slopes: (0..heads).map(|h| (-8.0 * (h + 1) as f32 / heads as f32).exp2()).collect(),
            sinks: inputs.values(heads, self.spread.min(16.0)),
        }
    }

    pub(super) fn heads(&self) -> u32 {
        self.key_heads * self.heads_per_key
    }
}

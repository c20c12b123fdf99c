//! Biases by the distance from a query to a key.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

const OP: &str = "relative_position_bias";

/// T5's buckets of distances (Raffel et al. 2020, section 2.1): small distances have one each, larger ones share
/// buckets that widen with the logarithm, up to a distance from which on all share the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RelativePositionBuckets {
    /// Keys behind the query have buckets of their own (an encoder); else all of them share that of distance 0 (a
    /// decoder).
    pub bidirectional: bool,
    /// Buckets in all: `relative_attention_num_buckets`.
    pub buckets: usize,
    /// The distance from which on all share a bucket: `relative_attention_max_distance`.
    pub max_distance: usize,
}

/// Tables are of at most so many distances on each side.
const FARTHEST: usize = 1 << 20;

/// Biases of all heads and distances together are at most so many: 256 MiB of them.
const LARGEST: usize = 1 << 26;

impl RelativePositionBuckets {
    /// 32 buckets up to a distance of 128, as T5 has them.
    pub fn t5(bidirectional: bool) -> Self {
        Self { bidirectional, buckets: 32, max_distance: 128 }
    }

    /// Buckets of one direction.
    fn one_way(&self) -> usize {
        if self.bidirectional { self.buckets / 2 } else { self.buckets }
    }

    fn check(&self) -> Result<()> {
        let least = if self.bidirectional { 4 } else { 2 };
        if self.buckets < least {
            let found = self.buckets.to_string();
            return Err(Error::argument(OP, "buckets", format!("at least {least}"), found));
        }
        let exact = self.one_way() / 2;
        if self.max_distance <= exact || self.max_distance > FARTHEST {
            let expected = format!("above {exact}, the distances with their own bucket, up to {FARTHEST}");
            return Err(Error::argument(OP, "max_distance", expected, self.max_distance.to_string()));
        }
        Ok(())
    }

    /// The bucket of the distance j − p of a key j from a query at p, below `buckets`.
    ///
    /// The logarithm is in f32, as where T5 was trained: at a bucket's edge its rounding decides.
    ///
    /// # Errors
    /// [`Error::Argument`] for fewer than 2 buckets (4, if bidirectional), or a `max_distance` that is not above half of
    /// one direction's buckets, or above 2²⁰.
    pub fn bucket(&self, distance: i64) -> Result<usize> {
        self.check()?;
        Ok(self.of(distance))
    }

    fn of(&self, distance: i64) -> usize {
        let one_way = self.one_way();
        let (first, steps) = match (self.bidirectional, distance > 0) {
            (true, true) => (one_way, distance.unsigned_abs()),
            (false, true) => (0, 0),
            (_, false) => (0, distance.unsigned_abs()),
        };
        let exact = one_way / 2;
        if steps < exact as u64 {
            return first + steps as usize;
        }
        let whole = (self.max_distance as f64 / exact as f64).ln() as f32;
        let part = (steps as f32 / exact as f32).ln() / whole;
        let beyond = (part * (one_way - exact) as f32) as usize;
        first + exact.saturating_add(beyond).min(one_way - 1)
    }
}

/// A bias for each head and distance, to be added to the scores:
/// [`Attention::relative_bias`](crate::ops::Attention::relative_bias).
///
/// Only distances up to a reach are told apart, so the table is small whatever the lengths are, and the same for
/// every step of decoding.
///
/// ```
/// # fn main() -> attentive::Result<()> {
/// use attentive::ops::{RelativePositionBias, RelativePositionBuckets};
/// use attentive::{Device, Tensor, attention};
///
/// // T5's `relative_attention_bias.weight`, [buckets, heads].
/// let table: Vec<f32> = (0..32 * 2).map(|element| (element as f32).sin()).collect();
/// let bias = RelativePositionBias::new(&table, 2, &RelativePositionBuckets::t5(true))?;
///
/// let device = Device::cpu();
/// let q = Tensor::from_f32(&device, [1, 2, 3, 4], &[0.5; 24])?;
/// // T5 does not scale its scores.
/// let y = attention(&q, &q, &q).scale(1.0).relative_bias(&bias).run()?;
/// assert_eq!(y.shape().dims(), [1, 2, 3, 4]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RelativePositionBias {
    heads: usize,
    by_distance: Vec<f32>,
}

impl RelativePositionBias {
    /// From a table `[buckets, heads]`, one row for each bucket.
    ///
    /// # Errors
    /// [`Error::Argument`] for a table of another size or one with a number that is not finite, for more than 2²⁶ biases
    /// (heads · (2 · `max_distance` + 1)), and as [`RelativePositionBuckets::bucket`].
    pub fn new(table: &[f32], heads: usize, buckets: &RelativePositionBuckets) -> Result<Self> {
        buckets.check()?;
        if buckets.buckets.checked_mul(heads) != Some(table.len()) {
            let expected = format!("[{}, {heads}]", buckets.buckets);
            return Err(Error::argument(OP, "the table", expected, format!("{} elements", table.len())));
        }
        check_finite(table)?;
        let distances = 2 * buckets.max_distance + 1;
        if heads.saturating_mul(distances) > LARGEST {
            let found = format!("{heads} heads of {distances} distances");
            return Err(Error::argument(OP, "the biases", format!("at most {LARGEST}"), found));
        }
        let reach = buckets.max_distance as i64;
        let of_distance: Vec<usize> = (-reach..=reach).map(|distance| buckets.of(distance)).collect();
        let by_head = |head: usize| of_distance.iter().map(move |bucket| table[bucket * heads + head]);
        Ok(Self { heads, by_distance: (0..heads).flat_map(by_head).collect() })
    }

    /// From the biases of the distances −reach to reach for each head, `[heads, 2 · reach + 1]`.
    ///
    /// # Errors
    /// [`Error::Argument`] unless there is an odd number of finite ones for each head.
    pub fn from_distances(by_distance: &[f32], heads: usize) -> Result<Self> {
        let distances = by_distance.len().checked_div(heads).unwrap_or(1);
        if distances * heads != by_distance.len() || distances.is_multiple_of(2) {
            let expected = format!("an odd number for each of {heads} heads");
            return Err(Error::argument(OP, "the distances", expected, by_distance.len().to_string()));
        }
        check_finite(by_distance)?;
        Ok(Self { heads, by_distance: by_distance.to_vec() })
    }

    /// Heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// The largest distance that is told apart from those beyond it.
    pub fn reach(&self) -> usize {
        self.by_distance.len().checked_div(self.heads).unwrap_or(1) / 2
    }

    /// The biases, `[heads, 2 · reach + 1]`.
    pub fn by_distance(&self) -> &[f32] {
        &self.by_distance
    }

    /// The bias of a head for the distance j − p of a key j from a query at p.
    ///
    /// # Errors
    /// [`Error::Argument`] for a head that is not there.
    pub fn bias(&self, head: usize, distance: i64) -> Result<f32> {
        if head >= self.heads {
            return Err(Error::argument(OP, "head", format!("below {}", self.heads), head.to_string()));
        }
        let reach = self.reach() as i64;
        let place = (distance.clamp(-reach, reach) + reach) as usize;
        Ok(self.by_distance[head * (2 * self.reach() + 1) + place])
    }

    /// The biases on a device, for [`Attention::relative_bias_value`](crate::ops::Attention::relative_bias_value): a
    /// model's layers share one.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::OutOfMemory`].
    pub fn upload(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_f32(device, [self.heads, 2 * self.reach() + 1], &self.by_distance)
    }
}

fn check_finite(biases: &[f32]) -> Result<()> {
    match biases.iter().find(|bias| !bias.is_finite()) {
        None => Ok(()),
        Some(found) => Err(Error::argument(OP, "the biases", "finite numbers", found.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_the_paper() {
        let both = RelativePositionBuckets::t5(true);
        let of = |distance: i64| both.bucket(distance).unwrap();
        // 8 exact ones on each side, then 8 that widen up to 128.
        assert_eq!([0, -1, -7, -8, -11, -12, -127, -128, -5000].map(of), [0, 1, 7, 8, 8, 9, 15, 15, 15]);
        assert_eq!([1, 7, 8, 128, i64::MAX].map(of), [17, 23, 24, 31, 31]);
        let one = RelativePositionBuckets::t5(false);
        let of = |distance: i64| one.bucket(distance).unwrap();
        assert_eq!([5, 0, -1, -15, -16, -128, i64::MIN].map(of), [0, 0, 1, 15, 16, 31, 31]);
    }

    #[test]
    fn buckets_rise_with_the_distance_and_end_at_the_last() {
        for bidirectional in [false, true] {
            for (buckets, max_distance) in [(4, 3), (8, 20), (32, 128), (32, 17), (33, 64), (320, 800)] {
                let buckets = RelativePositionBuckets { bidirectional, buckets, max_distance };
                let of = |distance: i64| buckets.bucket(distance).unwrap();
                let behind: Vec<usize> = (0..2000).map(|steps| of(-steps)).collect();
                assert!(behind.is_sorted() && behind[max_distance] == buckets.one_way() - 1, "{buckets:?}");
                assert!((max_distance..2000).all(|steps| behind[steps] == behind[max_distance]));
            }
        }
    }

    #[test]
    fn what_makes_no_table_is_refused() {
        let t5 = RelativePositionBuckets::t5(true);
        for (buckets, argument) in [
            (RelativePositionBuckets { buckets: 3, ..t5 }, "buckets"),
            (RelativePositionBuckets { buckets: 1, bidirectional: false, ..t5 }, "buckets"),
            (RelativePositionBuckets { max_distance: 8, ..t5 }, "max_distance"),
            (RelativePositionBuckets { max_distance: usize::MAX, ..t5 }, "max_distance"),
        ] {
            let error = RelativePositionBias::new(&[0.0; 32], 1, &buckets).unwrap_err();
            assert!(error.to_string().contains(argument), "{error}");
        }
        for (table, heads) in [(vec![0.0; 31], 1), (vec![0.0; 32], 2), (vec![f32::NAN; 32], 1)] {
            assert!(RelativePositionBias::new(&table, heads, &t5).is_err());
        }
        // 9 · 128 floats ask for 1.1 GB.
        let far = RelativePositionBuckets { buckets: 9, bidirectional: false, max_distance: FARTHEST };
        let error = RelativePositionBias::new(&[0.0; 9 * 128], 128, &far).unwrap_err();
        assert!(error.to_string().contains("128 heads of 2097153 distances"), "{error}");
        for (distances, heads) in [(4, 1), (7, 2), (1, 0), (6, 3)] {
            assert!(RelativePositionBias::from_distances(&vec![0.0; distances], heads).is_err());
        }
        let none = RelativePositionBias::from_distances(&[], 0).unwrap();
        assert_eq!((none.reach(), none.bias(0, 0).is_err()), (0, true));
        let one = RelativePositionBias::from_distances(&[1.0, 2.0, 3.0], 1).unwrap();
        assert_eq!([-9, 0, 9].map(|distance| one.bias(0, distance).unwrap()), [1.0, 2.0, 3.0]);
    }
}

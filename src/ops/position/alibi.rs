//! ALiBi's slopes.

/// One slope for each head, for [`Attention::alibi_slopes`](crate::ops::Attention::alibi_slopes) (Press et al. 2022,
/// section 3): 2^(−8·h / n) for head h of 1 to n, where n is a power of two. Elsewhere, as the paper's own code has it,
/// those of the power of two below, and then every second one of twice that power. Computed in f64 and rounded once.
///
/// ```
/// use attentive::ops::alibi_slopes;
///
/// assert_eq!(alibi_slopes(4), [0.25, 0.0625, 0.015625, 0.00390625]);
/// assert_eq!(alibi_slopes(6)[4..], [0.5, 0.125]);
/// ```
pub fn alibi_slopes(heads: usize) -> Vec<f32> {
    // The largest power of two among them.
    let power = heads.checked_ilog2().map_or(1, |log| 1_usize << log);
    let slope = |head: usize, of: f64| (-8.0 * head as f64 / of).exp2() as f32;
    let whole = (1..=power.min(heads)).map(|head| slope(head, power as f64));
    let between = (0..heads.saturating_sub(power)).map(|head| slope(2 * head + 1, 2.0 * power as f64));
    whole.chain(between).collect()
}

#[cfg(test)]
mod tests {
    use super::alibi_slopes;

    #[test]
    fn every_count_has_its_slopes() {
        assert!(alibi_slopes(0).is_empty());
        assert_eq!(alibi_slopes(1), [2.0_f32.powi(-8)]);
        assert_eq!(alibi_slopes(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        // 12 heads: those of 8, and 2^(−1/2), 2^(−3/2), 2^(−5/2), 2^(−7/2) of 16.
        let twelve = alibi_slopes(12);
        assert_eq!(twelve[..8], alibi_slopes(8));
        let roots = [0.5_f64, 1.5, 2.5, 3.5].map(|power| 2.0_f64.powf(-power) as f32);
        assert_eq!(twelve[8..], roots);
        // Three: of two, and one of four.
        assert_eq!(alibi_slopes(3), [0.0625, 0.00390625, 0.25]);
        for heads in 0..200 {
            let slopes = alibi_slopes(heads);
            assert_eq!(slopes.len(), heads);
            assert!(slopes.iter().all(|slope| *slope > 0.0 && *slope < 1.0));
        }
    }
}

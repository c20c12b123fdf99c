//! Loops of the twins with the widest vectors that this machine has.

/// Runs `work` compiled for AVX2 where the processor has it, for the target's baseline elsewhere. It gives the same bits: Rust
/// contracts no products and sums, so only as many values as fit are computed at a time.
#[inline(always)]
pub(crate) fn wide<T>(work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[target_feature(enable = "avx2")]
        fn avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        // SAFETY: the processor has it.
        return unsafe { avx2(work) };
    }
    work()
}

#[cfg(test)]
mod tests {
    use crate::kernels::activation::Activation;

    #[test]
    fn it_changes_no_bit() {
        let values: Vec<f32> = (-4000..4000_i16).map(|step| f32::from(step) * 0.0025).collect();
        for activation in [Activation::Gelu, Activation::Relu, Activation::Silu] {
            let mut wide = values.clone();
            activation.apply_all(&mut wide);
            for (x, y) in values.iter().zip(wide) {
                assert_eq!(
                    y.to_bits(),
                    activation.apply(std::hint::black_box(*x)).to_bits(),
                    "{activation:?} {x}"
                );
            }
        }
    }
}
